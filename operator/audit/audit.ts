// The audit trail: one structured log line (`msg: "audit"`) and one count for everything that is done to certificates, CAs and
// revocations. What can be said is a closed set of fields, none of which can hold a key; text that looks like one is taken out.
// The lines are written whatever the log level is. Who keeps them, and for how long, is the log pipeline's business.
import { createHash, X509Certificate } from 'node:crypto';
import type { KubeObject } from '../../lib/kube/object.ts';
import { type Logger, logLevels } from '../../lib/runtime/logger.ts';
import type { CounterMetric, Metrics } from '../../lib/runtime/metrics.ts';
import { type AuditAction, alarming, auditActions } from './actions.ts';

/** One thing that happened. Whatever is not known is left out. */
export interface AuditRecord {
  readonly action: AuditAction;
  /**
   * Who asked, as `<Kind> <namespace>/<name>` (see `askedByObject`): the workload, the policy, the issuer, the revocation; `Tabard`
   * alone when time passing is the cause. The user behind an object is in the API server's own audit log.
   */
  readonly askedBy: readonly string[];
  /** One word of the closed set of the part that records: an issue reason, a block reason, a reason of RFC 5280. */
  readonly reason: string;
  /** SPIFFE ID, or the name of the CA's mesh. */
  readonly identity?: string;
  /** Upper-case hex. */
  readonly serial?: string;
  /** Serial of the certificate that this one replaces. */
  readonly replaces?: string;
  /** SHA-256 of the certificate's DER, lower-case hex. */
  readonly sha256?: string;
  /** Algorithm of its key. Not named `key`: the logger takes out members of that name. */
  readonly keyKind?: string;
  readonly notAfter?: Date;
  /** Name of the TLSIssuer. */
  readonly issuer?: string;
  /** A sentence for a person. Cut at 1000 characters. */
  readonly note?: string;
  /** It was found after a crash and may have been recorded before: the same serial, or CA and step, is the same act. */
  readonly again?: true;
}

/** The member of `Audit` that parts are given. */
export type AuditTrail = Pick<Audit, 'record'>;

const mostText = 1_000;
const secretLike = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g;

/** Writes the trail of one process. */
export class Audit {
  readonly #log: Logger;
  readonly #records: CounterMetric;

  constructor(logger: Logger, metrics: Metrics) {
    // A quieter level is for the chatter of a process, not for its books; `silent` is for tests.
    const quiet = logLevels.indexOf(logger.level as (typeof logLevels)[number]) < logLevels.indexOf('info');
    const level = quiet && logger.level !== 'silent' ? 'info' : logger.level;
    this.#log = logger.child({ part: 'audit' }, { level });
    this.#records = metrics.counter({
      name: 'tabard_audit_records_total',
      help: 'Audit records (log lines with msg "audit") by action.',
      labels: ['action'],
    });
    // All series from the start: an alert on a rare action must not miss its first occurrence.
    for (const action of Object.keys(auditActions)) this.#records.inc({ action }, 0);
  }

  /** Records one thing that happened, after it did. Never throws for what is recorded. */
  record(entry: AuditRecord): void {
    this.#records.inc({ action: entry.action });
    this.#log[alarming.has(entry.action) ? 'warn' : 'info'](lineOf(entry), 'audit');
  }
}

/** The fields of a line, each picked by name, so that nothing else can come along. */
function lineOf(entry: AuditRecord): Readonly<Record<string, unknown>> {
  const { action, askedBy, reason, identity, serial, replaces, sha256, keyKind, notAfter, issuer, note, again } = entry;
  return {
    action,
    askedBy: askedBy.map(harmless),
    reason: harmless(reason),
    identity: identity === undefined ? undefined : harmless(identity),
    serial,
    replaces,
    sha256,
    keyKind,
    notAfter: notAfter?.toISOString(),
    issuer,
    note: note === undefined ? undefined : harmless(note),
    again,
  };
}

function harmless(text: string): string {
  return text.replace(secretLike, '[redacted]').slice(0, mostText);
}

/** `TLSPolicy shop/web`: how an object is named in `askedBy`. */
export function askedByObject({ kind, metadata }: Pick<KubeObject, 'kind' | 'metadata'>): string {
  return askedByName(kind, metadata);
}

/** See `askedByObject`. */
export function askedByName(kind: string, { name, namespace }: { readonly name: string; readonly namespace?: string }) {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

/** SHA-256 (lower-case hex) of the first certificate of a PEM text; undefined when there is none. */
export function certificateDigest(pem: string): string | undefined {
  const base64 = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/.exec(pem)?.[1];
  return base64 === undefined ? undefined : createHash('sha256').update(Buffer.from(base64, 'base64')).digest('hex');
}

/** What a record says of a CA or any other certificate. Throws when the PEM does not parse. */
export function certificateRecord(pem: string): Pick<AuditRecord, 'serial' | 'notAfter'> & { readonly sha256: string } {
  const certificate = new X509Certificate(pem);
  const sha256 = createHash('sha256').update(certificate.raw).digest('hex');
  return { serial: certificate.serialNumber, sha256, notAfter: certificate.validToDate };
}
