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
  /** One condition. Undefined = the text is none. */
  compile(text: string): Condition | undefined;
  /**
   * A compiler for the conditions of one set of rules: what several of them ask is worked out once for a request. Of a text that is no
   * condition it makes undefined, too.
   */
  compiler(): (text: string) => Condition | undefined;
}
