// TLSIssuers as people see them: kind, readiness, CAs, and how a rotation stands. Pure.
import type { TLSIssuer } from '../lib/api/tlsissuer.ts';
import { moment, table, time } from './table.ts';

/** The kind of an issuer: the member of its spec that says how it signs. */
export function kindOf({ spec }: TLSIssuer): string {
  const kinds = ['selfSigned', 'ca', 'vault', 'acme', 'kubernetesCSR'] as const;
  return kinds.find((kind) => spec[kind] !== undefined) ?? 'none';
}

/** The Ready condition. */
export function readyOf({ status }: TLSIssuer) {
  return status?.conditions?.find(({ type }) => type === 'Ready');
}

/** One line per issuer. */
export function issuerTable(issuers: readonly TLSIssuer[], now: Date): readonly string[] {
  const head = ['ISSUER', 'KIND', 'READY', 'CA', 'EXPIRES', 'ROTATION', 'WAITING'];
  const rows = issuers.map((issuer) => {
    const { status, spec, metadata } = issuer;
    const rotation = status?.rotation;
    const phase = rotation?.phase ?? '-';
    return [
      metadata.name,
      kindOf(issuer),
      readyOf(issuer)?.status ?? 'Unknown',
      status?.caFingerprint?.slice(0, 16) ?? '-',
      moment(time(status?.caNotAfter), now),
      spec.rotation?.paused === true ? `${phase} (paused)` : phase,
      String(rotation?.waitingCount ?? 0),
    ];
  });
  return table(head, rows);
}

/** Everything about one issuer. */
export function issuerLines(issuer: TLSIssuer, now: Date): readonly string[] {
  const { status } = issuer;
  const rotation = status?.rotation;
  const ready = readyOf(issuer);
  const lines: string[] = [];
  if (ready !== undefined && ready.status !== 'True') lines.push(`not ready: ${ready.reason}: ${ready.message}`);
  const authorities = status?.authorities ?? [];
  if (authorities.length > 0) {
    const rows = authorities.map(({ role, fingerprint, keyId, notAfter }) => [
      `  ${role}`,
      fingerprint,
      keyId.slice(0, 16),
      moment(time(notAfter), now),
    ]);
    lines.push(...table(['  ROLE', 'FINGERPRINT (SHA-256)', 'KEY ID', 'EXPIRES'], rows));
  }
  if (rotation !== undefined) {
    const since = rotation.phaseSince === undefined ? '' : `, since ${moment(time(rotation.phaseSince), now)}`;
    lines.push(`  rotation: ${rotation.phase}${since}${rotation.reason === undefined ? '' : `: ${rotation.reason}`}`);
    if (rotation.message !== undefined) lines.push(`  ${rotation.message}`);
    lines.push(...waitingLines(issuer));
  }
  return lines;
}

/** Who holds the rotation up. */
export function waitingLines({ status }: TLSIssuer): readonly string[] {
  const { waitingFor = [], waitingCount = waitingFor.length } = status?.rotation ?? {};
  if (waitingCount === 0) return [];
  const more = waitingCount > waitingFor.length ? [`    and ${waitingCount - waitingFor.length} more`] : [];
  return [`  waits for ${waitingCount}:`, ...waitingFor.map((each) => `    ${each}`), ...more];
}

/** Whether a request with this text was acted on already. */
export function wasHandled({ status }: TLSIssuer, verb: 'rotate' | 'undo' | 'distrust', text: string): boolean {
  return (status?.rotation?.handledReasons ?? []).includes(`${verb}:${text}`);
}
