// Reads DER (X.690) one element at a time, strictly: definite lengths in their shortest form, nothing past the end. For the
// structures that are read where node-forge is not: facts of certificates in the sidecar, requests of kubelets. Pure.
import { AppError } from '../errors.ts';

/** One element. The buffers are views of what was read. */
export interface DerElement {
  /** Identifier octet: class, constructed bit and number; numbers above 30 are refused. */
  readonly tag: number;
  readonly content: Buffer;
  /** Header and content. */
  readonly whole: Buffer;
}

/** Identifier octets in use. */
export const derTags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  sequence: 0x30,
} as const;

/** The elements that a buffer consists of, one after the other. Throws AppError `pki_invalid` if it is not exactly that. */
export function derElements(bytes: Buffer): readonly DerElement[] {
  const found: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const element = elementAt(bytes, at);
    found.push(element);
    at += element.whole.length;
  }
  return found;
}

/** The members of the one element that a buffer is, which must have this tag. */
export function derMembers(bytes: Buffer, tag: number = derTags.sequence): readonly DerElement[] {
  const [only, ...more] = derElements(bytes);
  if (only === undefined || more.length > 0 || only.tag !== tag) return fail(`one element of tag ${tag} was expected`);
  return derElements(only.content);
}

function elementAt(bytes: Buffer, start: number): DerElement {
  const tag = bytes[start] ?? fail('it ends early');
  if ((tag & 0x1f) === 0x1f) fail('a tag number above 30');
  const first = bytes[start + 1] ?? fail('it ends early');
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  // Four bytes say 4 GiB; none at all is the indefinite form, which DER forbids.
  if (first === 0x80 || lengthBytes > 4) fail('a length that DER does not allow');
  const begin = start + 2 + lengthBytes;
  if (begin > bytes.length) fail('it ends early');
  const length = lengthBytes === 0 ? first : bytes.readUIntBE(start + 2, lengthBytes);
  if (lengthBytes > 0 && (length < 0x80 || length < 2 ** (8 * (lengthBytes - 1)))) fail('a length in a longer form');
  if (begin + length > bytes.length) fail('it ends early');
  return { tag, content: bytes.subarray(begin, begin + length), whole: bytes.subarray(start, begin + length) };
}

function fail(why: string): never {
  throw new AppError('pki_invalid', `it is no DER: ${why}`);
}
