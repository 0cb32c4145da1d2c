// Equal texts kept once. What thousands of objects say in the same words (times, addresses, the owner of each pod of a workload) comes out of
// the parser as a text of its own each time. Bounded: what was not asked for lately is forgotten, and may then be there twice.

/** V8 keeps texts up to this length once by itself when it parses JSON. */
const shared = 10;
/** Longer texts are seldom equal, or have a pool of their own. */
const longest = 64;
/** Texts of one generation. */
const generation = 8_192;

/** A pool of texts. */
export class Texts {
  #young = new Map<string, string>();
  #old = new Map<string, string>();

  /** The text that was kept first of those equal to this one. */
  of(text: string): string {
    if (text.length <= shared || text.length > longest) return text;
    const young = this.#young.get(text);
    if (young !== undefined) return young;
    const kept = this.#old.get(text) ?? text;
    if (this.#young.size >= generation) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(kept, kept);
    return kept;
  }
}
