// Records in the audit trail which CAs of other trust domains came and went. Runs on the leader alone: every replica sees the same.
import { fingerprint, parseCertificates } from '../../lib/pki/bundle.ts';
import { aborted } from '../../lib/runtime/signals.ts';
import type { AuditTrail } from '../audit/audit.ts';
import type { FederatedDomain } from './roots.ts';

/** Whose changes are recorded. */
export interface FederationSource {
  federated(): readonly FederatedDomain[];
  subscribeRoots(listener: () => void): () => void;
}

/** Records until the signal is aborted. What is federated when it begins was recorded by an earlier leader. */
export async function recordFederation(
  source: FederationSource,
  audit: AuditTrail,
  signal: AbortSignal,
): Promise<void> {
  let known = authoritiesOf(source.federated());
  const leave = source.subscribeRoots(() => {
    const next = authoritiesOf(source.federated());
    for (const key of without(next, known)) record(audit, 'RootAdded', key);
    for (const key of without(known, next)) record(audit, 'RootRemoved', key);
    known = next;
  });
  await aborted(signal);
  leave();
}

/** `spiffe://<trust domain> <SHA-256>` of every CA. */
function authoritiesOf(domains: readonly FederatedDomain[]): ReadonlySet<string> {
  const all = domains.flatMap(({ trustDomain, bundle }) =>
    parseCertificates(bundle).map((each) => `spiffe://${trustDomain} ${fingerprint(each)}`),
  );
  return new Set(all);
}

function without(some: ReadonlySet<string>, others: ReadonlySet<string>): readonly string[] {
  return [...some].filter((key) => !others.has(key));
}

function record(audit: AuditTrail, reason: 'RootAdded' | 'RootRemoved', key: string): void {
  const [identity = '', sha256 = ''] = key.split(' ');
  audit.record({ action: 'TrustChanged', askedBy: ['TLSIssuer'], reason, identity, sha256 });
}
