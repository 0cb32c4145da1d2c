// The key exchange group of a handshake, on the side that answered it: Node tells it to the other side alone, and OpenSSL keeps it in what it would
// need to resume the session (`SSL_SESSION_ASN1`, tag 19, since OpenSSL 3.0).

/** Names by the numbers of TLS (IANA), as Node has them on the side that dialled. */
const names: ReadonlyMap<number, string> = new Map([
  [0x0017, 'prime256v1'],
  [0x0018, 'secp384r1'],
  [0x0019, 'secp521r1'],
  [0x001d, 'X25519'],
  [0x001e, 'X448'],
  [0x11eb, 'SecP256r1MLKEM768'],
  [0x11ec, 'X25519MLKEM768'],
  [0x11ed, 'SecP384r1MLKEM1024'],
]);

const SEQUENCE = 0x30;
const GROUP = 0xb3;

/** Name of the group in a session in DER (`TLSSocket.getSession()`); undefined where it is not known. */
export function groupOfSession(session: Buffer | undefined): string | undefined {
  if (session?.[0] !== SEQUENCE) return undefined;
  for (let at = headerOf(session, 0).from; at < session.length; ) {
    const { from, to } = headerOf(session, at);
    // An INTEGER of at most four octets.
    if (session[at] === GROUP && to - from > 2 && to - from <= 6 && to <= session.length)
      return names.get(session.readUIntBE(from + 2, to - from - 2));
    at = to;
  }
  return undefined;
}

/** Where the content of an element begins and ends. */
function headerOf(der: Buffer, at: number): { readonly from: number; readonly to: number } {
  const first = der[at + 1] ?? 0;
  const octets = first < 0x80 ? 0 : first & 0x7f;
  const from = at + 2 + octets;
  if (octets > 4 || from > der.length) return { from: der.length, to: der.length };
  return { from, to: from + (octets === 0 ? first : der.readUIntBE(at + 2, octets)) };
}
