// Reads from a TLS ClientHello whom the client wants (server_name, RFC 6066 section 3) and what it would speak (ALPN, RFC 7301),
// before OpenSSL sees it. Only asked where an answer depends on both. Nothing is decided on what does not parse: OpenSSL refuses it. Pure.

/** What a ClientHello says, as far as it has arrived. */
export type Hello =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'unreadable' }
  | {
      readonly kind: 'read';
      /** Lower case; undefined when the client names nobody. */
      readonly serverName: string | undefined;
      /** In the client's order of preference. */
      readonly protocols: readonly string[];
    };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const ALPN = 16;
/** A ClientHello with post-quantum key shares has two or three kilobytes. */
const MAX_BYTES = 16_384;

/** Reads a ClientHello from the first bytes of a connection. */
export function readClientHello(bytes: Buffer): Hello {
  const message = handshakeMessage(bytes);
  if (message === 'incomplete') return { kind: 'incomplete' };
  if (message === 'unreadable') return { kind: 'unreadable' };
  try {
    return readBody(new Reader(message));
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'unreadable' };
    throw error;
  }
}

/** The body of the first handshake message, which may be cut into several records (RFC 8446 section 5.1). */
function handshakeMessage(bytes: Buffer): Buffer | 'incomplete' | 'unreadable' {
  const parts: Buffer[] = [];
  let held = 0;
  for (let at = 0; at < MAX_BYTES; ) {
    if (bytes.length < at + 5) return bytes.length >= MAX_BYTES ? 'unreadable' : 'incomplete';
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at] !== HANDSHAKE || length === 0) return 'unreadable';
    parts.push(bytes.subarray(at + 5, at + 5 + length));
    held += Math.min(length, bytes.length - at - 5);
    at += 5 + length;
    if (held < 4) continue;
    const joined = Buffer.concat(parts);
    if (joined[0] !== CLIENT_HELLO) return 'unreadable';
    const wanted = joined.readUIntBE(1, 3);
    if (wanted > MAX_BYTES) return 'unreadable';
    if (joined.length >= 4 + wanted) return joined.subarray(4, 4 + wanted);
    if (bytes.length < at) return 'incomplete';
  }
  return 'unreadable';
}

/** RFC 8446 section 4.1.2: version, random, session id, suites, compression, extensions. */
function readBody(body: Reader): Hello {
  body.take(34);
  body.take(body.number(1));
  body.take(body.number(2));
  body.take(body.number(1));
  let serverName: string | undefined;
  let protocols: readonly string[] = [];
  const extensions = body.rest === 0 ? body : new Reader(body.take(body.number(2)));
  while (extensions.rest > 0) {
    const type = extensions.number(2);
    const content = new Reader(extensions.take(extensions.number(2)));
    if (type === SERVER_NAME) serverName = readServerName(content);
    if (type === ALPN) protocols = readProtocols(content);
  }
  return { kind: 'read', serverName, protocols };
}

function readServerName(content: Reader): string | undefined {
  const list = new Reader(content.take(content.number(2)));
  while (list.rest > 0) {
    const type = list.number(1);
    const name = list.take(list.number(2));
    if (type === 0) return name.toString('latin1').toLowerCase();
  }
  return undefined;
}

function readProtocols(content: Reader): readonly string[] {
  const list = new Reader(content.take(content.number(2)));
  const protocols: string[] = [];
  while (list.rest > 0) protocols.push(list.take(list.number(1)).toString('latin1'));
  return protocols;
}

/** Takes bytes from the front; throws RangeError when there are not enough. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  take(count: number): Buffer {
    if (count > this.rest) throw new RangeError('the ClientHello ends early');
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  number(size: 1 | 2): number {
    return this.take(size).readUIntBE(0, size);
  }
}
