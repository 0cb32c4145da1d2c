// How long a gate waits for a client that has begun to say something: bounded for a head from its first octet to its last, and for a body from
// one octet to the next. Both are what slow attacks live on.

/** What is waited for, and for how long. */
export interface PatienceOptions {
  readonly headMs: number;
  readonly bodyMs: number;
  /** The client owes some of a body, and nothing but the client holds it up. */
  readonly owesBody: () => 'no' | 'held' | 'yes';
  readonly late: (rule: 'head_timeout' | 'body_timeout') => void;
}

/** The patience of one gate. */
export class Patience {
  readonly #options: PatienceOptions;
  #head: NodeJS.Timeout | undefined;
  #body: NodeJS.Timeout | undefined;
  /** When the client last sent some of a body, or was let go on. */
  #bodyAt = 0;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Half a head is there, or no longer. */
  head(waits: boolean): void {
    if (waits) {
      this.#head ??= setTimeout(() => this.#options.late('head_timeout'), this.#options.headMs).unref();
    } else {
      clearTimeout(this.#head);
      this.#head = undefined;
    }
  }

  /** Some of a body has come, or more of it may come now. */
  body(): void {
    this.#bodyAt = performance.now();
    this.#body ??= setTimeout(() => this.#look(), this.#options.bodyMs).unref();
  }

  /** Nothing is waited for any more. */
  forget(): void {
    this.head(false);
    clearTimeout(this.#body);
    this.#body = undefined;
  }

  /** One timer for a whole body: an octet costs a look at the time and no more. */
  #look(): void {
    this.#body = undefined;
    const { bodyMs, owesBody, late } = this.#options;
    const owes = owesBody();
    if (owes === 'no') return;
    const leftMs = owes === 'held' ? bodyMs : bodyMs - (performance.now() - this.#bodyAt);
    if (leftMs <= 0) late('body_timeout');
    else this.#body = setTimeout(() => this.#look(), Math.ceil(leftMs)).unref();
  }
}
