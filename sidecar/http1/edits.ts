// What a gate changes of heads, as octets: the plan for a connection (sidecar/headers/plan.ts) made ready for one copy per changed head.
import type { Field, HeaderPlan } from '../headers/plan.ts';
import { editedHead, WatchedNames } from './watched.ts';

/** Fields that answers get unless they have one of that name. */
export class AnswerFields {
  readonly watched: WatchedNames;
  /** All of them as lines, for answers of the gate's own. */
  readonly all: Buffer;
  readonly #fields: readonly Field[];
  /** By the bits of those that an answer has: as many as there are kinds of answers. */
  readonly #missing = new Map<number, Buffer | undefined>();

  constructor(fields: readonly Field[]) {
    this.#fields = fields;
    this.watched = new WatchedNames(fields.map(({ name }) => name));
    this.all = linesOf(fields);
  }

  /** Lines of those that an answer does not have; undefined when it has them all. */
  missing(seen: number): Buffer | undefined {
    if (seen === 0) return this.all;
    if (!this.#missing.has(seen)) {
      const left = this.#fields.filter((_, index) => (seen & (1 << index)) === 0);
      this.#missing.set(seen, left.length === 0 ? undefined : linesOf(left));
    }
    return this.#missing.get(seen);
  }
}

/** What is taken out of requests and put in. */
export class RequestFields {
  readonly watched: WatchedNames;
  readonly #removed: WatchedNames | undefined;
  readonly #proved: Buffer | undefined;

  constructor({ removed, proved }: Pick<HeaderPlan, 'removed' | 'proved'>) {
    this.watched = new WatchedNames(removed);
    this.#removed = removed.length === 0 ? undefined : this.watched;
    this.#proved = proved.length === 0 ? undefined : linesOf(proved);
  }

  /** The head as it goes on; undefined where it goes on as it came. */
  edited(head: Buffer, seen: number): Buffer | undefined {
    const removed = seen === 0 ? undefined : this.#removed;
    return removed === undefined && this.#proved === undefined ? undefined : editedHead(head, removed, this.#proved);
  }
}

/** Fields as lines, each with its CRLF. */
function linesOf(fields: readonly Field[]): Buffer {
  return Buffer.from(fields.map(({ name, value }) => `${name}: ${value}\r\n`).join(''), 'latin1');
}
