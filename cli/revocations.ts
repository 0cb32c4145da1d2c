// TLSRevocations as people write and see them. Pure.
import { createHash } from 'node:crypto';
import { rfc3339 } from '../lib/api/time.ts';
import {
  type RevocationReason,
  revocationReasons,
  type TLSRevocation,
  type TLSRevocationSpec,
} from '../lib/api/tlsrevocation.ts';
import { parseDuration } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import { UsageError } from './command.ts';
import { moment, span, table, time } from './table.ts';

/** What can be revoked. */
export const targets = ['identity', 'serial', 'pod'] as const;
export type Target = (typeof targets)[number];

/** What a revocation names. Throws a UsageError that says how to write it. */
export function targetSpec(target: string, text: string, namespace: string): Pick<TLSRevocationSpec, Target> {
  switch (target) {
    case 'identity':
      if (!/^spiffe:\/\/[^/]+\/ns\/[^/]+\/svc\/[^/]+$/.test(text)) {
        throw new UsageError(`an identity is written like spiffe://cluster.local/ns/shop/svc/web, not "${text}"`);
      }
      return { identity: text };
    case 'serial': {
      const serial = text.replaceAll(':', '').toUpperCase();
      if (!/^[0-9A-F]{2,40}$/.test(serial)) {
        throw new UsageError(`a serial is hexadecimal, as \`tabard certs -o wide\` prints it, not "${text}"`);
      }
      return { serial };
    }
    case 'pod': {
      const [first = '', second, ...rest] = text.split('/');
      if (first === '' || second === '' || rest.length > 0)
        throw new UsageError(`a pod is NAME or NAMESPACE/NAME, not "${text}"`);
      return { pod: second === undefined ? { namespace, name: first } : { namespace: first, name: second } };
    }
    default:
      throw new UsageError(`state what to revoke: ${targets.join(', ')}; "${target}" is none of them`);
  }
}

/** A reason by its name in RFC 5280; case does not matter. */
export function reasonOf(text: string): RevocationReason {
  const found = revocationReasons.find((reason) => reason.toLowerCase() === text.toLowerCase());
  if (found === undefined) throw new UsageError(`--reason takes ${revocationReasons.join(', ')}, not "${text}"`);
  return found;
}

/** An end: a duration from now ("8h") or an RFC 3339 time, as RFC 3339. It must lie ahead. */
export function untilOf(text: string, now: Date): string {
  const at = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : now.getTime() + durationMs(text);
  if (Number.isNaN(at))
    throw new UsageError(`--until takes a duration such as 8h or a time such as 2026-12-31T00:00:00Z, not "${text}"`);
  if (at <= now.getTime()) throw new UsageError(`--until ${text} has passed already`);
  return rfc3339(new Date(at));
}

function durationMs(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw new UsageError(`--until: ${messageOf(error)}`);
  }
}

/** A name that says what is revoked; the same for the same thing, so that nothing is revoked twice by mistake. */
export function revocationName(spec: Pick<TLSRevocationSpec, Target>): string {
  const [kind, text] = describe(spec);
  const readable = (kind === 'identity' ? text.split('/').slice(-3).join('-') : text)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 60);
  const digest = createHash('sha256').update(`${kind} ${text}`).digest('hex').slice(0, 8);
  return `${kind}-${readable}-${digest}`;
}

function describe({ identity, serial, pod }: Pick<TLSRevocationSpec, Target>): readonly [Target, string] {
  if (identity !== undefined) return ['identity', identity];
  if (serial !== undefined) return ['serial', serial];
  return ['pod', `${pod?.namespace ?? ''}/${pod?.name ?? ''}`];
}

/** `12/12`, or `-` while nobody has said. */
export function enforcedText({ status }: TLSRevocation): string {
  const { sidecars, enforced } = status ?? {};
  return enforced ?? (sidecars === undefined ? '-' : `${sidecars.enforcing}/${sidecars.total}`);
}

/** Whether every live sidecar enforces the present spec. */
export function isEnforced({ metadata, status }: TLSRevocation): boolean {
  const condition = status?.conditions?.find(({ type }) => type === 'Enforced');
  const isCurrent = condition?.observedGeneration === undefined || condition.observedGeneration === metadata.generation;
  return condition?.status === 'True' && isCurrent;
}

/** The table for people. */
export function revocationTable(revocations: readonly TLSRevocation[], now: Date): readonly string[] {
  const head = ['NAME', 'KIND', 'WHAT', 'REASON', 'ENFORCED', 'ENDS', 'AGE'];
  const rows = revocations.map((revocation) => {
    const { metadata, spec } = revocation;
    const created = time(metadata.creationTimestamp);
    return [
      metadata.name,
      ...describe(spec),
      spec.reason ?? 'unspecified',
      enforcedText(revocation),
      spec.until === undefined ? 'never' : moment(time(spec.until), now),
      created === undefined ? '-' : span(now.getTime() - created.getTime()),
    ];
  });
  return table(head, rows);
}
