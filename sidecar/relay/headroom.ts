// Memory to read into that has room for a header in front of it, so that what was read can go on as a frame without being copied.

/** Bytes in front of what is read. */
export const HEADROOM = 8;

const roomy = new WeakSet<ArrayBufferLike>();

/** Memory of so many bytes, with room in front. */
export function memoryWithRoom(bytes: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(HEADROOM + bytes);
  roomy.add(whole.buffer);
  return whole.subarray(HEADROOM);
}

/**
 * These bytes and as many before them, `HEADROOM` at most; undefined when that is not free, because they do not stand at the beginning of
 * such memory. What is written there touches nothing of anybody, and is valid for as long as the bytes are.
 */
export function withRoom(bytes: Uint8Array, before: number): Uint8Array | undefined {
  if (bytes.byteOffset !== HEADROOM || !roomy.has(bytes.buffer)) return undefined;
  return new Uint8Array(bytes.buffer, HEADROOM - before, before + bytes.length);
}
