// Cuts a byte stream into lines. A character that is split over two chunks stays whole, because the bytes are put
// together before they are decoded. Slow readers hold the stream back; a line has a length limit.
import { KubeError } from './errors.ts';

const newline = 0x0a;

/**
 * The lines of a stream without their line feeds; empty lines are left out. Throws KubeError `Unavailable` for a line
 * of more than `maxBytes` and for a stream that ends inside a line.
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      parts.push(chunk.subarray(start, end));
      length += end - start;
      start = end + 1;
      if (length > maxBytes) throw tooLong(maxBytes);
      if (length > 0) yield textOf(parts);
      parts = [];
      length = 0;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > maxBytes) throw tooLong(maxBytes);
  }
  if (length > 0) throw new KubeError('Unavailable', 'the stream ended inside a line');
}

/** The whole text of a stream. Throws KubeError `Unavailable` when it is longer than `maxBytes`. */
export async function textOfStream(chunks: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > maxBytes) throw new KubeError('Unavailable', `the answer is longer than ${maxBytes} bytes`);
    parts.push(chunk);
  }
  return textOf(parts);
}

function textOf(parts: readonly Uint8Array[]): string {
  return Buffer.concat(parts).toString('utf8');
}

function tooLong(maxBytes: number): KubeError {
  return new KubeError('Unavailable', `a line of the stream is longer than ${maxBytes} bytes`);
}
