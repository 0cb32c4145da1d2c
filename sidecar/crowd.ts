// A set of objects that come and go by the thousand. A Set is made anew inside V8 every few dozen entries, and each table that it leaves behind
// refers to the next and to whatever was in it: once one of them has grown old, all that ever follow it outlive the young generation, with every
// connection that was in them. Here nothing refers to what has left.

/** Something that can be in one crowd. */
export interface Placed {
  /** Kept by the crowd; -1 where it is in none. */
  place: number;
}

/** What is there, in no order. Members may leave, and others come, while it is gone through; who comes then is not met. */
export class Crowd<T extends Placed> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Takes one in that is in none. */
  add(member: T): void {
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** Lets one go. False: it was not there. */
  delete(member: T): boolean {
    const members = this.#members;
    const { place } = member;
    if (place < 0 || members[place] !== member) return false;
    member.place = -1;
    const last = members.pop();
    if (last === undefined || last === member) return true;
    members[place] = last;
    last.place = place;
    return true;
  }

  /** From the last to the first, so that none is missed when the present one leaves. */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let at = this.#members.length - 1; at >= 0; at -= 1) {
      const member = this.#members[at];
      if (member !== undefined) yield member;
    }
  }
}
