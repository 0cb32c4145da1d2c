// Which names an edge certificate may have: names of the world outside. A name inside of the cluster belongs to the mesh's own
// certificates, and nothing here can become an identity: those are URIs, and an edge certificate has none. Pure.
import type { AcmeIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { isDnsName } from '../../../lib/pki/identity.ts';

/** What names are judged by. */
export interface NameRules {
  /** Of the cluster's DNS names. */
  readonly clusterDomain: string;
  readonly trustDomain: string;
  /** The issuer's settings. */
  readonly acme: Pick<AcmeIssuerSpec, 'solvers'>;
}

/** The first thing that is wrong with names of an edge certificate, as a sentence; undefined when they may stand. */
export function edgeNameFault(names: readonly string[], rules: NameRules): string | undefined {
  if (names.length === 0) return 'spec.edge.dnsNames is empty';
  for (const name of names) {
    const why = faultOf(name, rules);
    if (why !== undefined) return `spec.edge.dnsNames: "${name}" ${why}`;
  }
  return undefined;
}

function faultOf(name: string, { clusterDomain, trustDomain, acme }: NameRules): string | undefined {
  const base = name.startsWith('*.') ? name.slice(2) : name;
  if (!isDnsName(base) || !base.includes('.')) return 'is no full DNS name';
  if (base.endsWith('.svc') || base.includes('.svc.')) return 'is the name of a Kubernetes Service';
  for (const domain of [clusterDomain, trustDomain]) {
    if (base === domain || base.endsWith(`.${domain}`)) return `lies in ${domain}, which is the mesh's own`;
  }
  const wildcards = acme.solvers.some(({ dns01 }) => dns01 !== undefined);
  return name.startsWith('*.') && !wildcards ? 'is a wildcard, and the issuer has no dns01 solver' : undefined;
}
