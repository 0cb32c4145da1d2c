// Password-based protection as PKCS#12 files use it today: PBES2 with AES-256-CBC and HMAC-SHA256 (RFC 8018), and the integrity
// MAC with SHA-256 (RFC 7292 section 4 and appendix B). What OpenSSL 3 and Java 17 write by default, too.
import { createCipheriv, createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { type Node, octets, oid, positive, primitive, sequence, Type } from './asn1.ts';

const derive = promisify(pbkdf2);

/** Object identifiers (RFC 8018 appendix C, RFC 7292, NIST). */
const ids = {
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  sha256: '2.16.840.1.101.3.4.2.1',
} as const;

/** OpenSSL's own number. The same Secret holds the key in the clear, so that a higher one would protect nothing. */
const iterations = 2_048;
/** Bytes of a SHA-256 block and of its result. */
const block = 64;
const digest = 32;

/** Encrypts under a password; the algorithm with its parameters, and the result. */
export async function encrypt(
  plain: Buffer,
  password: string,
): Promise<{ readonly algorithm: Node; readonly encrypted: Buffer }> {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const key = await derive(password, salt, iterations, digest, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  const prf = sequence(oid(ids.hmacSha256), primitive(Type.NULL, ''));
  const derivation = sequence(oid(ids.pbkdf2), sequence(octets(salt), number(iterations), prf));
  const encryption = sequence(oid(ids.aes256Cbc), octets(iv));
  return { algorithm: sequence(oid(ids.pbes2), sequence(derivation, encryption)), encrypted };
}

/** What a MAC was made with. */
export interface MacSettings {
  readonly salt: Buffer;
  readonly iterations: number;
}

/** The MacData of these bytes under a password: with a salt of its own, or again as it was made before. */
export function macData(content: Buffer, password: string, settings?: MacSettings): Node {
  const { salt, iterations: count } = settings ?? { salt: randomBytes(16), iterations };
  const algorithm = sequence(oid(ids.sha256), primitive(Type.NULL, ''));
  const value = createHmac('sha256', macKey(password, salt, count))
    .update(content)
    .digest();
  return sequence(sequence(algorithm, octets(value)), octets(salt), number(count));
}

/** RFC 7292 appendix B.2 with ID 3, for as many bytes as one digest: its step 6 C is then never reached. */
function macKey(password: string, salt: Buffer, count: number): Buffer {
  const spread = Buffer.concat([Buffer.alloc(block, 3), filled(salt), filled(bmpString(password))]);
  let value = createHash('sha256').update(spread).digest();
  for (let round = 1; round < count; round += 1) value = createHash('sha256').update(value).digest();
  return value;
}

/** Repeated to a whole number of blocks; empty stays empty. */
function filled(value: Buffer): Buffer {
  return Buffer.alloc(Math.ceil(value.length / block) * block, value);
}

/** Two bytes for each character, big-endian, and two zero bytes at the end (RFC 7292 appendix B.1). */
function bmpString(text: string): Buffer {
  return Buffer.concat([Buffer.from(text, 'utf16le').swap16(), Buffer.alloc(2)]);
}

/** A small positive INTEGER. */
export function number(value: number): Node {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return positive(bytes);
}
