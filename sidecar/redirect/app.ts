// Writes the redirect rules of a pod and proves them.
import { readFileSync } from 'node:fs';
import { AppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { openOriginalDestination } from '../destination/original.ts';
import type { RedirectConfig } from './config.ts';
import { runNft } from './nft.ts';
import { type Family, redirectScript, TABLE } from './rules.ts';
import { missingRules, proveOutbound } from './verify.ts';

/** Bit of CAP_NET_ADMIN in a capability set (linux/capability.h). */
const CAP_NET_ADMIN = 12n;
const PROOF_TIMEOUT_MS = 2_000;

/**
 * Writes the rules, proves them and logs the proof. May be run again in the same pod: it replaces what is there.
 * Throws AppError `redirect_failed` when anything is short of proved; the pod must not start then.
 */
export async function redirect(config: RedirectConfig, logger: Logger): Promise<void> {
  const started = performance.now();
  requireNetAdmin();
  const families: readonly Family[] = hasIPv6() ? ['ip', 'ip6'] : ['ip'];
  await runNft(['-f', '-'], redirectScript(families, config.exclusions));
  await Promise.all(families.map(requireRules));
  const readOriginal = openOriginalDestination();
  const { exclusions } = config;
  const proofs = await Promise.all(
    families.map((family) => proveOutbound({ family, exclusions, readOriginal, timeoutMs: PROOF_TIMEOUT_MS })),
  );
  if (proofs.every((proof) => proof.outcome === 'unprovable' && proof.why === 'no_address')) {
    throw new AppError('redirect_failed', 'this pod has no address to prove the rules with; is its network set up?');
  }
  logger.info({ proofs, exclusions, ms: Math.round(performance.now() - started) }, 'traffic is captured');
}

async function requireRules(family: Family): Promise<void> {
  const missing = missingRules(await runNft(['-j', 'list', 'table', family, TABLE]));
  if (missing.length === 0) return;
  throw new AppError(
    'redirect_failed',
    `table ${family} ${TABLE} was accepted but chain ${missing.join(' and ')} is not as written; does another program change nftables in this pod?`,
  );
}

function requireNetAdmin(): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  if ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) % 2n === 1n) return;
  throw new AppError(
    'redirect_failed',
    'the redirect container lacks the capability NET_ADMIN; allow it for this namespace (Pod Security level "privileged")',
  );
}

/** A kernel without IPv6 has no such file, and no such table either. With IPv6 switched off in the pod it is there, and empty. */
function hasIPv6(): boolean {
  try {
    readFileSync('/proc/net/if_inet6');
    return true;
  } catch {
    return false;
  }
}
