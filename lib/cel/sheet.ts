// What the conditions of a set of rules ask in common. Rules of one policy often look at the same header or claim, and often with the same words;
// each such question is answered once for a request, when the first condition gets to it. Pure but for that memory.
import type { ConditionFacts } from '../api/condition.ts';

/** A question about a request. */
export type Question<T> = (facts: ConditionFacts) => T;

/** The questions of one set of rules. */
export class Sheet {
  readonly #questions = new Map<string, Question<unknown>>();
  #facts: ConditionFacts | undefined;
  #turn = 0;

  /** To be called before questions are asked: answers hold for as long as the facts are the same object. */
  turnTo(facts: ConditionFacts): void {
    if (this.#facts === facts) return;
    this.#facts = facts;
    this.#turn += 1;
  }

  /** A question that is answered once for each request. `key` stands for the question: whoever asks with the same gets the same. */
  once<T>(key: string, ask: Question<T>): Question<T> {
    const known = this.#questions.get(key);
    if (known !== undefined) return known as Question<T>;
    let answer: T;
    let turn = -1;
    const question = (facts: ConditionFacts): T => {
      if (turn === this.#turn) return answer;
      answer = ask(facts);
      turn = this.#turn;
      return answer;
    };
    this.#questions.set(key, question);
    return question;
  }
}
