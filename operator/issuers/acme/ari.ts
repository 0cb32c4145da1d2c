// ACME Renewal Information (RFC 9773): the name of a certificate in it, the window that the CA suggests, and the moment in that
// window which is ours. Pure.
import { createHash, type X509Certificate } from 'node:crypto';
import { authorityKeyIdOf } from '../../../lib/pki/x509.ts';
import { membersOf } from '../json.ts';

/** When a CA wants a certificate to be renewed. */
export interface RenewalWindow {
  readonly start: Date;
  readonly end: Date;
  /** A page for people that says why, if the CA gave one. */
  readonly explanation?: string;
}

/** Shortest and longest time between two looks (RFC 9773 section 4.3.3 allows both bounds). */
const soonestLookMs = 60_000;
const latestLookMs = 24 * 3_600_000;
/** When the server does not say: six hours. */
const usualLookMs = 6 * 3_600_000;

/** Unique name of a certificate: authority key id and serial, each base64url of its bytes (section 4.1). Undefined without an AKI. */
export function certificateId(certificate: X509Certificate): string | undefined {
  const keyId = authorityKeyIdOf(certificate.raw);
  if (keyId === undefined) return undefined;
  return `${base64url(keyId)}.${base64url(serialContent(certificate.serialNumber))}`;
}

/** A window as the server sent it; undefined when it is none (its end must lie after its start, section 4.2). */
export function parseWindow(document: unknown): RenewalWindow | undefined {
  const { suggestedWindow, explanationURL } = membersOf(document);
  const { start, end } = membersOf(suggestedWindow);
  const from = typeof start === 'string' ? Date.parse(start) : Number.NaN;
  const to = typeof end === 'string' ? Date.parse(end) : Number.NaN;
  if (Number.isNaN(from) || Number.isNaN(to) || to <= from) return undefined;
  const explanation = typeof explanationURL === 'string' ? { explanation: explanationURL.slice(0, 500) } : {};
  return { start: new Date(from), end: new Date(to), ...explanation };
}

/** The moment in the window: spread over all certificates, the same at each look (section 4.2 asks for a random one). */
export function momentIn(window: RenewalWindow, serial: string): Date {
  const part = createHash('sha256').update(`ari ${serial}`).digest().readUInt32BE(0) / 2 ** 32;
  const startMs = window.start.getTime();
  return new Date(Math.floor(startMs + (window.end.getTime() - startMs) * part));
}

/** How long until the next look. */
export function lookAgainMs(retryAfter: number | undefined): number {
  return Math.min(latestLookMs, Math.max(soonestLookMs, retryAfter ?? usualLookMs));
}

/** The content bytes of the serial's DER INTEGER: a leading zero where the first bit is set. */
function serialContent(hex: string): string {
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  return Number.parseInt(even.slice(0, 2), 16) >= 0x80 ? `00${even}` : even;
}

function base64url(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64url');
}
