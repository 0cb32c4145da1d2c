// What was negotiated on a TLS connection, for the log.
import type { TLSSocket } from 'node:tls';
import { groupOfSession } from './group.ts';

/** Facts of one finished handshake. */
export interface TlsFacts {
  /** As OpenSSL names it: `TLSv1.3`. */
  readonly version: string;
  /** IANA name of the cipher suite. */
  readonly cipher: string;
  /** Key exchange group. */
  readonly group: string | undefined;
  readonly resumed: boolean;
  /** Serial of the certificate that this proxy stood with. */
  readonly serial: string;
  /** When the handshake began, RFC 3339: the certificate is the newest one of that moment. */
  readonly started: string;
  readonly alpn: string | undefined;
}

/** Reads the facts of a socket whose handshake is done. */
export function tlsFacts(socket: TLSSocket, { serial, started }: { serial: string; started: Date }): TlsFacts {
  return {
    version: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().standardName,
    group: groupOf(socket.getEphemeralKeyInfo()) ?? groupOfSession(socket.getSession()),
    resumed: socket.isSessionReused(),
    serial,
    started: started.toISOString(),
    alpn: typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : undefined,
  };
}

/** The types know only ECDH and DH; Node 26 reports `{type: 'TLSGroup', name: 'X25519MLKEM768'}`, and null on the server side. */
function groupOf(info: unknown): string | undefined {
  if (typeof info !== 'object' || info === null || !('name' in info)) return undefined;
  return typeof info.name === 'string' ? info.name : undefined;
}
