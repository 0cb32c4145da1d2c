// The certificate that answers a tls-alpn-01 challenge (RFC 8737 section 3): self-signed, for one name, with the digest of the
// key authorization in a critical extension. It says nothing that our PKI profile knows, so it is written here, byte by byte.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { privateKeyPem } from '../../../lib/pki/keys.ts';

/** Long enough for any validation, short enough to be of no use to anybody else. */
const lifeMs = 86_400_000;

/** A certificate with its key, PEM. Costs one P-256 key pair. */
export function alpnCertificate(
  domain: string,
  keyAuthorization: string,
  now: Date,
): { readonly certificate: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const digest = createHash('sha256').update(keyAuthorization).digest();
  const der = selfSigned({ domain, digest, privateKey, publicKey, now });
  return { certificate: new X509Certificate(der).toString(), key: privateKeyPem(privateKey) };
}

/** id-pe-acmeIdentifier (RFC 8737 section 6.1) and the others by their DER content. */
const oids = {
  acmeIdentifier: '2b0601050507011f',
  alternativeName: '551d11',
  ecdsaWithSha256: '2a8648ce3d040302',
} as const;

function selfSigned(parts: {
  readonly domain: string;
  readonly digest: Buffer;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly now: Date;
}): Buffer {
  const { domain, digest, privateKey, publicKey, now } = parts;
  const algorithm = tlv(0x30, tlv(0x06, Buffer.from(oids.ecdsaWithSha256, 'hex')));
  // 63 random bits: an INTEGER that is positive whatever they are.
  const serial = randomBytes(8);
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  const noName = tlv(0x30);
  const extensions = [
    extension(oids.acmeIdentifier, tlv(0x04, digest)),
    // Critical: there is no subject beside it (RFC 5280 section 4.2.1.6).
    extension(oids.alternativeName, tlv(0x30, tlv(0x82, Buffer.from(domain, 'latin1')))),
  ];
  const body = tlv(
    0x30,
    tlv(0xa0, tlv(0x02, Buffer.of(2))),
    tlv(0x02, serial),
    algorithm,
    noName,
    tlv(0x30, time(new Date(now.getTime() - 3_600_000)), time(new Date(now.getTime() + lifeMs))),
    noName,
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, tlv(0x30, ...extensions)),
  );
  const signature = sign('sha256', body, privateKey);
  return tlv(0x30, body, algorithm, tlv(0x03, Buffer.of(0), signature));
}

function extension(oid: string, content: Buffer): Buffer {
  return tlv(0x30, tlv(0x06, Buffer.from(oid, 'hex')), tlv(0x01, Buffer.of(0xff)), tlv(0x04, content));
}

/** GeneralizedTime would be wrong before 2050 (RFC 5280 section 4.1.2.5), UTCTime after. */
function time(at: Date): Buffer {
  const digits = at.toISOString().replace(/[-:T]|\.\d+/g, '');
  return at.getUTCFullYear() < 2050 ? tlv(0x17, Buffer.from(digits.slice(2))) : tlv(0x18, Buffer.from(digits));
}

function tlv(tag: number, ...content: readonly Buffer[]): Buffer {
  const body = Buffer.concat(content);
  const { length } = body;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), body]);
}
