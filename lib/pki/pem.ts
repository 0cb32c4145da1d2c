// Texts in PEM (RFC 7468) as people and other programs leave them: judged before anything is parsed, so that what is wrong is said in words that
// tell what to do. Nothing is repaired: a text that one reader repairs another one misreads. No message holds any of the text but labels. Pure.
import { AppError } from '../errors.ts';

/** Longest texts that are read, in characters: several times what the largest keys make, so that a hostile text costs nothing. */
export const pemLimits = { key: 16_384, chain: 100_000, bundle: 330_000 } as const;

/** The labels of all blocks that begin in a text, in order. */
export function labelsOf(text: string): readonly string[] {
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,40})-----/g)].map(([, label = '']) => label);
}

/** Refuses a text that is too long to be what it should be. Throws AppError `pki_invalid`. `what` names it: `the private key`. */
export function checkLength(text: string, limit: number, what: string): void {
  if (text.length <= limit) return;
  throw new AppError('pki_invalid', `${what} has ${text.length} characters; at most ${limit} are read`);
}

/** The strict form: blocks of these labels only, line feeds, no mark in front, every block closed. Throws AppError `pki_invalid`. */
export function checkStrict(text: string, allowed: RegExp, what: string): void {
  const fault = formFault(text) ?? blockFault(text, allowed);
  if (fault !== undefined) throw new AppError('pki_invalid', `${what} ${fault}`);
}

function formFault(text: string): string | undefined {
  if (text.startsWith('\uFEFF')) return 'begins with a byte order mark; save it as UTF-8 without one';
  if (text.includes('\r') && labelsOf(text).length > 0) {
    return 'has Windows line ends (CR LF); convert it, with dos2unix for example';
  }
  return binaryFault(text);
}

function binaryFault(text: string): string | undefined {
  // A SEQUENCE with a long length: what is left of DER after it was read as text.
  if (/^0[\u0080-\u00FF\uFFFD]/.test(text)) return 'is DER, not PEM; convert it with openssl (-inform DER)';
  return text.includes('\0') ? 'is UTF-16 or binary; save it as PEM in UTF-8' : undefined;
}

function blockFault(text: string, allowed: RegExp): string | undefined {
  const labels = labelsOf(text);
  const strange = labels.find((label) => !allowed.test(label));
  if (strange !== undefined) return `holds a block "${strange}" that does not belong there; take it out`;
  const ends = [...text.matchAll(/-----END ([A-Z0-9 ]{1,40})-----/g)].map(([, label = '']) => label);
  return ends.join() === labels.join() ? undefined : 'is cut short or garbled: a block has no proper end';
}

/** Why a text holds no block of the kind that was looked for, and what to do; continues a sentence. */
export function absence(text: string): string {
  if (text.trim() === '') return 'is empty';
  const [label] = labelsOf(text);
  return binaryFault(text) ?? (label === undefined ? 'holds no PEM block' : `holds a block "${label}" instead`);
}

/** A certificate in DER as PEM, in lines of 64 characters and with a newline at its end, as OpenSSL writes it. */
export function certificatePem(der: Buffer): string {
  const text = der.toString('base64');
  let lines = '';
  for (let at = 0; at < text.length; at += 64) lines += `${text.slice(at, at + 64)}\n`;
  return `-----BEGIN CERTIFICATE-----\n${lines}-----END CERTIFICATE-----\n`;
}
