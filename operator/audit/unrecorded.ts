// Certificates that were written, and of which nobody may have said so: whoever wrote one was killed, or lost his connection, before its
// line was written. They are found again in their Secrets, which say when and why they were issued, so that the trail has every
// certificate at least once. A line more than one is told by `again`, and by the serial.
import { X509Certificate } from 'node:crypto';
import { secretKeys, written } from '../../lib/api/contract.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { parseAlternativeNames } from '../../lib/pki/identity.ts';
import { keyAlgorithmOf } from '../../lib/pki/keys.ts';
import { type AuditRecord, type AuditTrail, askedByName, certificateDigest } from './audit.ts';

/**
 * A leader that ended may have written for so long before it last renewed its lease and not have heard of it: longer than any request
 * to the API server takes.
 */
export const unheardMs = 120_000;

/** Finds and records them. Secrets by the key of their service (`<namespace>/<service>`). */
export class Unrecorded {
  readonly #audit: AuditTrail;
  /** Since when a write is in doubt. */
  readonly #doubts = new Map<string, number>();

  constructor(audit: AuditTrail) {
    this.#audit = audit;
  }

  /** Records what a leader that was last heard of at `leftAt` may have written as its last. */
  takeOver(secrets: Iterable<Secret>, leftAt: Date): void {
    for (const secret of secrets) this.#record(secret, leftAt.getTime() - unheardMs);
  }

  /** A write began then, and what became of it is not known. */
  doubt(key: string, startedMs: number): void {
    if (!this.#doubts.has(key)) this.#doubts.set(key, startedMs);
  }

  /** A later write was answered, and is recorded by who made it. */
  settle(key: string): void {
    this.#doubts.delete(key);
  }

  /** What there is now: it tells what became of a write in doubt. */
  look(key: string, secret: Secret | undefined): void {
    const sinceMs = this.#doubts.get(key);
    if (sinceMs !== undefined && secret !== undefined && this.#record(secret, sinceMs)) this.#doubts.delete(key);
  }

  /** False for what was issued before. */
  #record(secret: Secret, sinceMs: number): boolean {
    const at = Date.parse(secret.metadata.annotations?.[written.issuedAt] ?? '');
    // The annotation is in whole seconds.
    if (Number.isNaN(at) || at < Math.floor(sinceMs / 1_000) * 1_000) return false;
    const record = recordOf(secret);
    if (record !== undefined) this.#audit.record(record);
    return true;
  }
}

/** What a Secret itself tells of its certificate; undefined when there is none in it. */
function recordOf({ metadata, data }: Secret): AuditRecord | undefined {
  const notes = metadata.annotations ?? {};
  const { namespace = '' } = metadata;
  const chain = Buffer.from(data?.[secretKeys.certificate] ?? '', 'base64').toString('utf8');
  const facts = certificateFacts(chain);
  if (facts === undefined) return undefined;
  const reason = notes[written.issuedFor] ?? 'Missing';
  const [replaces = ''] = (notes[written.previousSerials] ?? '').split('/');
  return {
    action: reason === 'Missing' ? 'CertificateIssued' : 'CertificateRenewed',
    askedBy: (metadata.ownerReferences ?? []).map(({ kind, name }) => askedByName(kind, { name, namespace })),
    reason,
    ...facts,
    ...(replaces === '' ? {} : { replaces }),
    issuer: notes[written.issuer] ?? '',
    again: true,
    note: `found in Secret ${namespace}/${metadata.name}: who wrote it may not have said so`,
  };
}

/** What a record says of the first certificate of a PEM text; undefined when there is none. */
export function certificateFacts(chain: string): Pick<AuditRecord, 'serial' | 'notAfter' | 'identity'> | undefined {
  try {
    const leaf = new X509Certificate(chain);
    const identity = parseAlternativeNames(leaf.subjectAltName ?? '')?.find(({ kind }) => kind === 'URI')?.value;
    const [sha256, keyKind] = [certificateDigest(chain), keyAlgorithmOf(leaf.publicKey)];
    return {
      serial: leaf.serialNumber,
      notAfter: leaf.validToDate,
      ...(identity === undefined ? {} : { identity }),
      ...(sha256 === undefined ? {} : { sha256 }),
      ...(keyKind === undefined ? {} : { keyKind }),
    };
  } catch {
    return undefined;
  }
}

/** The annotations by which a certificate is found again. */
export function issuedNotes(reason: string, at: Date): Readonly<Record<string, string>> {
  return { [written.issuedAt]: rfc3339(at), [written.issuedFor]: reason };
}
