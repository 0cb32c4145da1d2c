// Roots of trust that TLSIssuers name beside their own CAs: further roots of this mesh, and those of other trust domains. What cannot be used
// is left out with a reason, and what was good under that name before stays in its place for as long as this process runs.
import type { X509Certificate } from 'node:crypto';
import type { KeyRef, TLSIssuer, TrustRoot } from '../../lib/api/tlsissuer.ts';
import { messageOf } from '../../lib/errors.ts';
import { fingerprint, formatCertificates, parseCertificates } from '../../lib/pki/bundle.ts';
import { isTrustDomain } from '../../lib/pki/identity.ts';

/** Another trust domain with its CAs. */
export interface FederatedDomain {
  readonly trustDomain: string;
  /** PEM. */
  readonly bundle: string;
}

/** What all roots come to. */
export interface RootsView {
  /** Of this mesh's own trust domain. */
  readonly own: readonly X509Certificate[];
  /** In the order of their trust domains. */
  readonly federated: readonly FederatedDomain[];
  /** What is wrong, by the name of the TLSIssuer; a sentence for each root. */
  readonly faults: ReadonlyMap<string, readonly string[]>;
}

/** What the view is made from. */
export interface RootsRequest {
  readonly issuers: Iterable<TLSIssuer>;
  /** A value of a ConfigMap in Tabard's namespace; undefined when there is none. */
  readonly text: (ref: KeyRef) => string | undefined;
  /** The mesh's own CAs: none of them speaks for another domain. */
  readonly mesh: readonly X509Certificate[];
  readonly trustDomain: string;
  readonly now: Date;
}

interface Good {
  readonly trustDomain: string;
  readonly members: readonly X509Certificate[];
}

/** The roots, with what was good of each. */
export class ExternalRoots {
  /** By issuer and name of the root. */
  #good = new Map<string, Good>();

  /** Reads everything anew. */
  read(request: RootsRequest): RootsView {
    const { issuers, trustDomain: ownDomain } = request;
    const kept = new Map<string, Good>();
    const faults = new Map<string, readonly string[]>();
    for (const { metadata, spec } of issuers) {
      const found: string[] = [];
      for (const root of spec.trust?.roots ?? []) {
        const key = `${metadata.name}/${root.name}`;
        const read = readRoot(root, request);
        const before = this.#good.get(key);
        const stays = before?.trustDomain === (root.trustDomain ?? ownDomain) ? before : undefined;
        const good = typeof read === 'string' ? stays : read;
        if (good !== undefined) kept.set(key, good);
        if (typeof read === 'string')
          found.push(`root "${root.name}": ${read}${stays === undefined ? '' : '; what was good before stays in use'}`);
      }
      if (found.length > 0) faults.set(metadata.name, found);
    }
    this.#good = kept;
    const all = [...kept.values()];
    const own = all.filter(({ trustDomain }) => trustDomain === ownDomain).flatMap(({ members }) => members);
    return { own, federated: byDomain(all.filter(({ trustDomain }) => trustDomain !== ownDomain)), faults };
  }
}

/** A root, or why it cannot be used. */
function readRoot(root: TrustRoot, { text, mesh, trustDomain: ownDomain, now }: RootsRequest): Good | string {
  const { pem, configMapRef, trustDomain = ownDomain } = root;
  if (!isTrustDomain(trustDomain)) return `"${trustDomain}" is no trust domain`;
  const given = configMapRef === undefined ? (pem ?? '') : text(configMapRef);
  if (given === undefined) return `there is no ConfigMap "${configMapRef?.name}" with the key "${configMapRef?.key}"`;
  let members: readonly X509Certificate[];
  try {
    members = parseCertificates(given);
  } catch (error) {
    return messageOf(error);
  }
  const ours = trustDomain === ownDomain ? new Set<string>() : new Set(mesh.map(fingerprint));
  for (const member of members) {
    const fault = memberFault(member, now) ?? (ours.has(fingerprint(member)) ? 'is a CA of this mesh, too' : undefined);
    if (fault !== undefined) return `certificate ${member.serialNumber} ${fault}`;
  }
  return { trustDomain, members };
}

function memberFault(member: X509Certificate, now: Date): string | undefined {
  if (!member.ca) return 'is not one of a CA that may sign certificates';
  return now > member.validToDate ? `expired at ${member.validToDate.toISOString()}` : undefined;
}

function byDomain(roots: readonly Good[]): readonly FederatedDomain[] {
  const domains = [...new Set(roots.map(({ trustDomain }) => trustDomain))].sort();
  return domains.map((trustDomain) => {
    const members = roots.filter((each) => each.trustDomain === trustDomain).flatMap((each) => each.members);
    const unique = [...new Map(members.map((member) => [fingerprint(member), member])).entries()];
    const sorted = unique.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, member]) => member);
    return { trustDomain, bundle: formatCertificates(sorted) };
  });
}
