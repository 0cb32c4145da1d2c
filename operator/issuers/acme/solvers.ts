// Which solver of an issuer answers for a name, and the port to those that do. Choosing is pure.
import type { AcmeSolver } from '../../../lib/api/tlsissuer.ts';

/** The kinds of challenges that can be answered, by their names in ACME. */
export type ChallengeType = 'http-01' | 'tls-alpn-01' | 'dns-01';

/** A name that is to be proved. */
export interface ProofRequest {
  /** Without `*.`. */
  readonly domain: string;
  readonly token: string;
  readonly keyAuthorization: string;
}

/** Answers challenges of one kind. */
export interface Solver {
  /** Puts the answers where the CA looks for them; resolves when it may look. Rejects with an AcmeError. */
  present(requests: readonly ProofRequest[], signal: AbortSignal): Promise<void>;
  /** Takes them away again. */
  withdraw(requests: readonly ProofRequest[], signal: AbortSignal): Promise<void>;
}

/** Challenge type of a solver's settings. */
export function challengeTypeOf(solver: AcmeSolver): ChallengeType | undefined {
  if (solver.http01 !== undefined) return 'http-01';
  if (solver.tlsAlpn01 !== undefined) return 'tls-alpn-01';
  return solver.dns01 === undefined ? undefined : 'dns-01';
}

/**
 * The solver for a name: of those that can prove it and that the CA offers, the one with the longest fitting zone; among equals
 * the first. A wildcard can be proved by dns-01 alone (RFC 8555 section 7.1.3).
 */
export function solverFor(
  solvers: readonly AcmeSolver[],
  name: { readonly domain: string; readonly wildcard: boolean },
  offered: ReadonlySet<string>,
): AcmeSolver | undefined {
  let best: { readonly solver: AcmeSolver; readonly fit: number } | undefined;
  for (const solver of solvers) {
    const type = challengeTypeOf(solver);
    const fit = fitOf(solver.dnsZones ?? [], name.domain);
    if (type === undefined || fit === undefined || !offered.has(type)) continue;
    if (name.wildcard && type !== 'dns-01') continue;
    if (best === undefined || fit > best.fit) best = { solver, fit };
  }
  return best?.solver;
}

/** Length of the longest zone that a name lies in; 0 without zones; undefined when it lies in none of them. */
function fitOf(zones: readonly string[], domain: string): number | undefined {
  if (zones.length === 0) return 0;
  const lower = domain.toLowerCase();
  const fits = zones
    .map((zone) => zone.toLowerCase().replace(/\.$/, ''))
    .filter((zone) => lower === zone || lower.endsWith(`.${zone}`));
  return fits.length === 0 ? undefined : Math.max(...fits.map((zone) => zone.length));
}
