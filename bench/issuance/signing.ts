// Signing alone, in this process on one thread: no API server, no other work. And the renewal times of ten thousand leaves made
// in one second, as the schedule gives them.
import { createAuthority, issueLeaf } from '../../lib/pki/ca.ts';
import { generateKey, privateKeyPem } from '../../lib/pki/keys.ts';
import { renewalTime } from '../../operator/certificates/schedule.ts';

const identity = { trustDomain: 'cluster.local', namespace: 'team-1', service: 'svc-1' };
const dnsNames = ['svc-1', 'svc-1.team-1', 'svc-1.team-1.svc', 'svc-1.team-1.svc.cluster.local'];
const dayMs = 86_400_000;

/**
 * Leaves per second: signed with keys that are there, and with a new key each, ready for the Secret. One value per round. `perCpu` is
 * the first per second of this process's own processor time, which others on the machine do not shorten.
 */
export async function signingRates(rounds: number, each: number) {
  const now = new Date();
  const authority = await createAuthority({ trustDomain: 'cluster.local', lifetimeMs: 90 * dayMs, now });
  const { publicKey } = await generateKey('ECDSA-P256');
  const order = { authority, identity, dnsNames, now, lifetimeMs: dayMs };
  const signed: number[] = [];
  const whole: number[] = [];
  const perCpu: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const from = performance.now();
    const spent = process.cpuUsage();
    for (let index = 0; index < each; index += 1) issueLeaf({ ...order, publicKey });
    const { user, system } = process.cpuUsage(spent);
    const between = performance.now();
    for (let index = 0; index < each; index += 16) {
      await Promise.all(
        Array.from({ length: 16 }, async () => {
          const keys = await generateKey('ECDSA-P256');
          issueLeaf({ ...order, publicKey: keys.publicKey });
          privateKeyPem(keys.privateKey);
        }),
      );
    }
    const to = performance.now();
    signed.push((each * 1_000) / (between - from));
    perCpu.push((each * 1_000_000) / (user + system));
    whole.push((each * 1_000) / (to - between));
  }
  return { signed, whole, perCpu };
}

/** When leaves of one second are renewed: milliseconds from the first renewal, in order. */
export async function scheduleOf(count: number): Promise<readonly number[]> {
  const now = new Date();
  const authority = await createAuthority({ trustDomain: 'cluster.local', lifetimeMs: 90 * dayMs, now });
  const { publicKey } = await generateKey('ECDSA-P256');
  const times = Array.from({ length: count }, () =>
    renewalTime(issueLeaf({ authority, identity, dnsNames, now, lifetimeMs: dayMs, publicKey }), 66).getTime(),
  ).sort((a, b) => a - b);
  return times.map((at) => at - (times[0] ?? 0));
}
