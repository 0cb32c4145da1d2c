// The language of conditions, loaded when the first policy has one: a sidecar whose rules have none is spared its memory. Until it is there
// the snapshot that needs it waits, so that no request is judged by half a rule.
import type { ConditionLanguage } from '../lib/api/condition.ts';
import type { SelfSnapshot } from '../lib/api/control.ts';
import type { Logger } from '../lib/runtime/logger.ts';

/** Loads the language. */
export class Conditions {
  readonly #logger: Logger;
  #language: ConditionLanguage | undefined;
  #loading: Promise<void> | undefined;
  /** The newest snapshot that waits. */
  #waiting: SelfSnapshot | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** The language; undefined where nobody has needed it, or it could not be loaded: then conditions fail. */
  readonly language = (): ConditionLanguage | undefined => this.#language;

  /** Hands a snapshot on: at once, or when what it needs is there. The newest wins. */
  pass(self: SelfSnapshot, use: (self: SelfSnapshot) => void): void {
    this.#waiting = undefined;
    if (this.#language !== undefined || !hasConditions(self)) return use(self);
    this.#waiting = self;
    void this.ready(self).then(() => {
      if (this.#waiting !== self) return;
      this.#waiting = undefined;
      use(self);
    });
    return undefined;
  }

  /** Resolves when the language is there, should a snapshot need it. Never rejects. */
  ready(self: SelfSnapshot): Promise<void> {
    if (!hasConditions(self)) return Promise.resolve();
    this.#loading ??= import('../lib/cel/language.ts').then(
      ({ conditionLanguage }) => {
        this.#language = conditionLanguage;
      },
      (err: unknown) => {
        this.#logger.error({ err }, 'conditions of rules cannot be judged, and count as failed');
      },
    );
    return this.#loading;
  }
}

function hasConditions({ policy }: SelfSnapshot): boolean {
  return policy.authorization?.rules.some(({ when }) => when !== undefined) === true;
}
