// Ten years of rotations by the whole certificate machinery on a clock that leaps from day to day, with sidecars that follow late,
// each in its own time. At every moment every certificate in use must be good under every bundle in use.

import type { X509Certificate } from 'node:crypto';
import { expect, jest, test } from '@jest/globals';
import { resources } from '../../../../lib/kube/resources.ts';
import { fingerprint, parseCertificates } from '../../../../lib/pki/bundle.ts';
import { chainVerdict } from '../../../../lib/pki/verify.ts';
import { CertificateBench } from '../../../support/certificates.ts';
import { DAY_MS } from '../../../support/pki.ts';

jest.setTimeout(600_000);

const years = 10;
const services = ['web', 'api'] as const;

/** A generator of whole numbers below `limit`, the same in every run (mulberry32). */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** A pod whose sidecar takes up bundle and certificate some days late, each apart. */
class Follower {
  readonly name: string;
  readonly service: string;
  leaf: X509Certificate | undefined;
  bundle: readonly X509Certificate[] = [];
  /** Something is there that was not taken up yet. */
  isBehind = false;
  #bundleDays = 0;
  #leafDays = 0;

  constructor(name: string, service: string) {
    this.name = name;
    this.service = service;
  }

  /** One day. True when something was taken up that is to be reported. */
  day(bench: CertificateBench, random: (limit: number) => number): boolean {
    const told = bench.bundle?.members ?? [];
    const offered = bench.secret(this.service) === undefined ? undefined : bench.leaf(this.service);
    const isNewBundle = told.map(fingerprint).join() !== this.bundle.map(fingerprint).join();
    const isNewLeaf = offered !== undefined && offered.serialNumber !== this.leaf?.serialNumber;
    if (isNewBundle) this.#bundleDays -= 1;
    if (isNewLeaf) this.#leafDays -= 1;
    const takesBundle = isNewBundle && this.#bundleDays < 0;
    const takesLeaf = isNewLeaf && this.#leafDays < 0;
    if (takesBundle) [this.bundle, this.#bundleDays] = [told, random(3)];
    if (takesLeaf) [this.leaf, this.#leafDays] = [offered, random(2)];
    this.isBehind = (isNewBundle && !takesBundle) || (isNewLeaf && !takesLeaf);
    return takesBundle || takesLeaf;
  }

  report(bench: CertificateBench): void {
    bench.report(
      {
        podName: this.name,
        podUid: `pod-${this.name}`,
        selfVersion: 'x',
        bundleFingerprint: '',
        authorities: this.bundle.map(fingerprint),
        serial: this.leaf?.serialNumber ?? '',
        notAfter: this.leaf?.validToDate.toISOString() ?? '',
        plaintext: [],
      },
      this.service,
    );
  }
}

/** Whether a certificate is due and not renewed yet. */
function isDue(bench: CertificateBench): boolean {
  const now = bench.clock.now();
  return services.some((service) => {
    const renewAt = bench.secret(service)?.metadata.annotations?.['tabard.dev/renew-at'];
    return renewAt !== undefined && new Date(renewAt) <= now;
  });
}

/** Lets everything happen that this moment asks for: keys are made on other threads, which the clock knows nothing of. */
async function work(bench: CertificateBench, isBusy: boolean): Promise<void> {
  for (let round = 0; round < (isBusy ? 3 : 0) || (isDue(bench) && round < 5_000); round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    await bench.clock.advance(250);
  }
}

/** What was seen over the years. */
class Chronicle {
  readonly signers = new Set<string>();
  readonly serials = new Set<string>();
  readonly phases = new Set<string>();
  lowestDays = Infinity;
  readonly #verified = new Map<string, boolean>();

  /** Looks at everybody at one moment; throws where two that meet would not get on. */
  look(bench: CertificateBench, followers: readonly Follower[], day: number): void {
    const now = bench.clock.now();
    this.phases.add(bench.kube.all(resources.tlsissuers)[0]?.status?.rotation?.phase ?? '');
    this.signers.add(bench.authority.current()?.authority.fingerprint ?? '');
    for (const { leaf } of followers) {
      if (leaf === undefined) throw new Error('a sidecar without a certificate');
      this.serials.add(leaf.serialNumber);
      this.lowestDays = Math.min(this.lowestDays, (leaf.validToDate.getTime() - now.getTime()) / DAY_MS);
      if (now >= leaf.validToDate) throw new Error(`on day ${day} a certificate in use has expired`);
      for (const each of followers) {
        if (!this.#accepts(each, leaf, now))
          throw new Error(`on day ${day} ${each.name} would refuse ${leaf.serialNumber}`);
      }
    }
  }

  /** Whether a CA signed a leaf does not change and is asked once; that both are in their time is asked each day. */
  #accepts({ bundle }: Follower, leaf: X509Certificate, now: Date): boolean {
    const key = `${leaf.serialNumber} ${bundle.map((each) => each.serialNumber).join()}`;
    const good = this.#verified.get(key) ?? chainVerdict({ leaf, bundle, now }).ok;
    this.#verified.set(key, good);
    return good && bundle.some((each) => leaf.checkIssued(each) && now < each.validToDate);
  }
}

/** A day for everybody. Whether anything is under way. */
function follow(bench: CertificateBench, followers: readonly Follower[], random: (limit: number) => number): boolean {
  let isBusy = bench.bundle !== undefined && bench.bundle.members.length > 1;
  for (const each of followers) {
    const tookUp = each.day(bench, random);
    if (tookUp) each.report(bench);
    isBusy ||= tookUp || each.isBehind;
  }
  return isBusy;
}

test('ten years of rotations, with sidecars that follow late: every certificate in use is good under every bundle in use, always', async () => {
  const bench = await new CertificateBench({ caLifetimeMs: 90 * DAY_MS }).start();
  const random = numbers(20261122);
  const followers = services.flatMap((service) => [1, 2].map((index) => new Follower(`${service}-${index}`, service)));
  bench.policy('all', { certificate: { lifetime: '15d' } });
  for (const { name, service } of followers) bench.pod(name, service);
  for (const service of services) await bench.issued(service);
  follow(bench, followers, () => 0);
  const chronicle = new Chronicle();
  let isBusy = true;
  // Two days at once while nothing is under way.
  for (let day = 0; day < years * 365; day += isBusy ? 1 : 2) {
    await bench.leap(isBusy ? DAY_MS : 2 * DAY_MS);
    await work(bench, false);
    isBusy = follow(bench, followers, random);
    await work(bench, isBusy);
    chronicle.look(bench, followers, day);
  }
  await bench.stop();
  const { signers, serials, lowestDays, phases } = chronicle;
  process.stdout.write(
    `ten years: ${signers.size} CAs, ${serials.size} certificates, shortest remaining life ${lowestDays.toFixed(1)} d\n`,
  );
  // A CA is followed after 45 days and some days of waiting for the slowest.
  expect(signers.size).toBeGreaterThan(60);
  expect(signers.size).toBeLessThan(83);
  expect([...phases].sort()).toEqual(['Active', 'Idle', 'Prepared', 'Retiring']);
  expect(bench.bundle?.members.length).toBeLessThanOrEqual(2);
  // Fifteen days of life, renewed after nine or ten, and once more when the CA changes.
  expect(serials.size / services.length).toBeLessThan((years * 365) / 6);
});

test('the text of a bundle never holds a CA twice', async () => {
  const bench = await new CertificateBench({ caLifetimeMs: 90 * DAY_MS }).start();
  await bench.leap(46 * DAY_MS);
  await work(bench, true);
  const pem = bench.bundle?.pem ?? '';
  expect(pem.match(/BEGIN/g)).toHaveLength(parseCertificates(pem).length);
  await bench.stop();
});
