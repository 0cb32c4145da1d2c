// What deciding needs of the language of conditions (`when`), so that whoever has no such rules need not load one. lib/cel is the one there is.
import type { Call } from './decide.ts';
import type { RequestFacts } from './request.ts';

/** What a condition may ask for. */
export interface ConditionFacts {
  readonly call: Call;
  /** Of the caller's identity, where it is one of the own trust domain. */
  readonly namespace: string | undefined;
  readonly service: string | undefined;
  readonly request: RequestFacts;
  readonly now: Date;
}

/** A condition that was compiled. Undefined = it failed, or came to something else than true or false. Never throws. */
export type Condition = (facts: ConditionFacts) => boolean | undefined;

/** Compiles conditions. */
export interface ConditionLanguage {
  /** Undefined = the text is no condition. */
  compile(text: string): Condition | undefined;
}
