// The tables of HPACK: the static one (RFC 7541 appendix A), and the dynamic one of one direction of a connection. Pure.
import { Field } from './field.ts';

/** Indexes begin with 1. */
export const staticFields: readonly Field[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  ...['200', '204', '206', '304', '400', '404', '500'].map((status) => [':status', status]),
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ...['accept-language', 'accept-ranges', 'accept', 'access-control-allow-origin', 'age', 'allow'].map(bare),
  ...['authorization', 'cache-control', 'content-disposition', 'content-encoding', 'content-language'].map(bare),
  ...['content-length', 'content-location', 'content-range', 'content-type', 'cookie', 'date', 'etag'].map(bare),
  ...['expect', 'expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range'].map(bare),
  ...['if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards', 'proxy-authenticate'].map(bare),
  ...['proxy-authorization', 'range', 'referer', 'refresh', 'retry-after', 'server', 'set-cookie'].map(bare),
  ...['strict-transport-security', 'transfer-encoding', 'user-agent', 'vary', 'via', 'www-authenticate'].map(bare),
].map(([name = '', value = '']) => new Field(name, value));

/** Size of a dynamic table before anybody has said another one (RFC 9113 section 6.5.2). */
export const FIRST_TABLE_SIZE = 4_096;

/** What an encoder has told its decoder to remember. The newest line has the lowest index; the oldest ones go when room is needed. */
export class DynamicTable {
  /** A ring whose length is a power of two. */
  #ring: (Field | undefined)[] = emptyRing(16);
  /** Place of the newest. */
  #newest = 0;
  #count = 0;
  #size = 0;
  #most = FIRST_TABLE_SIZE;

  /** Octets that it may hold. */
  get most(): number {
    return this.#most;
  }

  /** The line with an index, 0 being the newest. */
  at(index: number): Field | undefined {
    return index < this.#count ? this.#ring[(this.#newest - index) & (this.#ring.length - 1)] : undefined;
  }

  /** Sets what it may hold. */
  resize(most: number): void {
    this.#most = most;
    this.#shrink(most);
  }

  /** Takes a line; one that is larger than all of the table only empties it (RFC 7541 section 4.4). */
  add(field: Field): void {
    this.#shrink(this.#most - field.size);
    if (field.size > this.#most) return;
    if (this.#count === this.#ring.length) this.#grow();
    this.#newest = (this.#newest + 1) & (this.#ring.length - 1);
    this.#ring[this.#newest] = field;
    this.#count += 1;
    this.#size += field.size;
  }

  #shrink(most: number): void {
    while (this.#count > 0 && this.#size > most) {
      const oldest = (this.#newest - this.#count + 1) & (this.#ring.length - 1);
      this.#size -= this.#ring[oldest]?.size ?? 0;
      this.#ring[oldest] = undefined;
      this.#count -= 1;
    }
  }

  #grow(): void {
    const lines = Array.from({ length: this.#count }, (_, index) => this.at(this.#count - 1 - index));
    this.#newest = this.#count - 1;
    this.#ring = [...lines, ...emptyRing(this.#ring.length * 2 - this.#count)];
  }
}

function bare(name: string): readonly [string, string] {
  return [name, ''];
}

function emptyRing(length: number): undefined[] {
  return Array.from({ length }, () => undefined);
}
