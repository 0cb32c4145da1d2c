// What a change of revocations does to this proxy: no session of before is resumed, and every live connection that stands on
// something revoked is cut, whichever side of it is revoked.
import type { Reason } from '../../lib/api/reasons.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { LiveConnections, LiveFacts } from '../relay/live.ts';
import type { Generation } from '../tls/generation.ts';
import type { RevocationChange, Revocations } from './revocations.ts';

/** What enforcement acts on. */
export interface EnforceDeps {
  readonly logger: Logger;
  readonly revocations: Pick<Revocations, 'revoked' | 'number' | 'size'>;
  readonly live: Pick<LiveConnections, 'enforce'>;
  /** The newest credentials. */
  generation(): Pick<Generation, 'forgetSessions'> | undefined;
  /** SPIFFE URI of this pod; empty before it is known. */
  identity(): string;
}

/** Why a live connection may not go on: its peer or this proxy itself is revoked. What carries no identity is not judged. */
export function revocationBreach(
  { peer, ownSerial }: LiveFacts,
  { revocations, identity }: Pick<EnforceDeps, 'identity'> & { readonly revocations: Pick<Revocations, 'revoked'> },
): Reason | undefined {
  if (peer !== undefined && revocations.revoked(peer) !== undefined) return 'revoked';
  if (ownSerial === undefined) return undefined;
  return revocations.revoked({ identity: identity(), serial: ownSerial, issuer: '' })?.reason;
}

/** Carries a change out. */
export function enforceRevocations(change: RevocationChange, deps: EnforceDeps): void {
  if (change === 'number') return;
  const { logger, revocations, live } = deps;
  deps.generation()?.forgetSessions();
  const cut = live.enforce((facts) => revocationBreach(facts, deps));
  logger.info({ number: revocations.number, revoked: revocations.size, cut }, 'revocations in use');
}
