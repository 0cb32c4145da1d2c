// The lists of all CAs on the leader: one per key, also through a rotation; persisted, and numbered upwards whatever happens to what was kept.
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { ConfigMap, Secret } from '../../../../lib/kube/object.ts';
import { Reflector } from '../../../../lib/kube/reflector.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import type { Authority } from '../../../../lib/pki/ca.ts';
import { crlFault, readCrl } from '../../../../lib/pki/crlread.ts';
import { privateKeyPem } from '../../../../lib/pki/keys.ts';
import { Audit } from '../../../../operator/audit/audit.ts';
import type { BookEntry } from '../../../../operator/revocation/book.ts';
import { CrlAuthorities } from '../../../../operator/revocation/crl/authorities.ts';
import { CrlKeeper } from '../../../../operator/revocation/crl/keeper.ts';
import { crlLabel, listIn, stateIn } from '../../../../operator/revocation/crl/store.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';
import { certificateSecret, revocation } from '../../../support/revocations.ts';

jest.setTimeout(90_000);

const system = 'tabard-system';
const encoded = (text: string): string => Buffer.from(text).toString('base64');

class KeeperBench {
  readonly deps = kubeDeps();
  readonly secrets = new ObjectStore<Secret>();
  readonly configMaps = new ObjectStore<ConfigMap>();
  entries: readonly BookEntry[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];

  start(): this {
    const { client, clock, logger, metrics, registry } = this.deps;
    const common = { client, clock, logger, metrics };
    this.#running.push(
      new Reflector({ ...common, resource: resources.secrets, store: this.secrets }).run(this.#stop.signal),
      new Reflector({ ...common, resource: resources.configmaps, store: this.configMaps }).run(this.#stop.signal),
    );
    const keeper = new CrlKeeper({
      client,
      clock,
      logger,
      kubeMetrics: metrics,
      audit: new Audit(logger, registry),
      book: {
        list: () => this.entries,
        subscribe: (listener) => {
          const told = (): void => listener(true);
          this.#listeners.add(told);
          return () => this.#listeners.delete(told);
        },
      },
      authorities: new CrlAuthorities(this.secrets, system, 'cluster.local'),
      secrets: this.secrets,
      configMaps: this.configMaps,
      namespace: system,
    });
    this.#running.push(keeper.run(this.#stop.signal));
    return this;
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.deps.clock.advance(10_000);
    await Promise.allSettled(this.#running);
  }

  /** The Secret with the CAs of issuer `cluster`. */
  ring(active: Authority, others: { readonly next?: Authority; readonly previous?: Authority } = {}): void {
    const pair = (name: string, of: Authority | undefined): Record<string, string> =>
      of === undefined
        ? {}
        : { [`${name}.crt`]: encoded(of.certificate), [`${name}.key`]: encoded(privateKeyPem(of.privateKey)) };
    const all = [active, others.next, others.previous].flatMap((each) => each?.certificate ?? []);
    this.deps.client.seed(resources.secrets, {
      metadata: { name: 'tabard-ca', namespace: system, labels: { 'app.kubernetes.io/managed-by': 'tabard' } },
      type: 'kubernetes.io/tls',
      data: {
        'tls.crt': encoded(active.certificate),
        'tls.key': encoded(privateKeyPem(active.privateKey)),
        'ca.crt': encoded(all.join('')),
        ...pair('next', others.next),
        ...pair('previous', others.previous),
      },
    });
  }

  /** What is revoked from now on, by serial. */
  revoke(...serials: readonly string[]): void {
    this.entries = serials.map((serial) => ({
      object: revocation(`of-${serial}`, { serial, reason: 'keyCompromise' }, { version: 1 }),
      resolution: { identity: undefined, serials: [serial], recorded: true },
      lastNotAfter: undefined,
      standing: 'holds',
    }));
    for (const listener of this.#listeners) listener();
  }

  /** Lists by key id, upper-case hex. */
  lists(): ReadonlyMap<string, ConfigMap> {
    const maps = this.deps.client.all(resources.configmaps);
    return new Map(maps.map((map) => [map.metadata.labels?.[crlLabel]?.toUpperCase() ?? '', map]));
  }

  serialsOf(authority: Authority): readonly string[] | undefined {
    const list = listIn(this.lists().get(authority.keyId));
    return list === undefined ? undefined : readCrl(list).entries.map(({ serial }) => serial);
  }

  numberOf(authority: Authority): number {
    return stateIn(this.lists().get(authority.keyId))?.number ?? 0;
  }

  async until(holds: () => boolean): Promise<void> {
    const begun = Date.now();
    while (!holds()) {
      if (Date.now() - begun > 30_000)
        throw new Error(`it did not come to hold; lists: ${[...this.lists().keys()].join()}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
      await this.deps.clock.advance(50);
    }
  }
}

let bench: KeeperBench;

beforeEach(() => {
  bench = new KeeperBench().start();
});
afterEach(() => bench.stop());

const made = () => testAuthority({ now: bench.deps.clock.now(), lifetimeMs: 90 * 86_400_000 });
const plain = (serial: string): string => serial.replace(/^0+/, '');

describe('revocation lists', () => {
  test('through a rotation there is one for the CA before, the present and the next one, each with what it signed', async () => {
    const [previous, active, next] = [await made(), await made(), await made()];
    const now = bench.deps.clock.now();
    const [old, fresh] = [await testLeaf(previous, { now }), await testLeaf(active, { now })];
    for (const [service, { certificate, serial }] of Object.entries({ old, new: fresh })) {
      const { metadata, ...secret } = certificateSecret(service, certificate, { 'tabard.dev/serial': serial });
      bench.deps.client.seed(resources.secrets, { ...secret, metadata: { ...metadata } });
    }
    bench.ring(active, { previous, next });
    await bench.until(() => bench.lists().size === 3);
    bench.revoke(old.serial, fresh.serial, 'ABCDEF');
    await bench.until(() => (bench.serialsOf(next)?.length ?? 0) > 0);
    await bench.until(() => (bench.serialsOf(previous)?.length ?? 0) > 1 && (bench.serialsOf(active)?.length ?? 0) > 1);
    expect(new Set(bench.serialsOf(previous))).toEqual(new Set(['ABCDEF', plain(old.serial)]));
    expect(new Set(bench.serialsOf(active))).toEqual(new Set(['ABCDEF', plain(fresh.serial)]));
    // Nobody knows who signed this one: it is on all.
    expect(bench.serialsOf(next)).toEqual(['ABCDEF']);
    for (const authority of [previous, active, next]) {
      const list = listIn(bench.lists().get(authority.keyId)) ?? Buffer.alloc(0);
      expect(crlFault(readCrl(list), new X509Certificate(authority.certificate))).toBeUndefined();
    }
  });

  test('of a CA that left is kept as long as it is good, and is gone then', async () => {
    const [first, second] = [await made(), await made()];
    bench.ring(second, { previous: first });
    await bench.until(() => bench.lists().size === 2);
    bench.ring(second);
    await bench.deps.clock.advance(3_600_000);
    expect(bench.lists().has(first.keyId)).toBe(true);
    await bench.deps.clock.advance(86_400_000);
    await bench.until(() => !bench.lists().has(first.keyId));
    expect(bench.lists().has(second.keyId)).toBe(true);
  });

  test('are signed anew long before they end, and numbered upwards', async () => {
    const authority = await made();
    bench.ring(authority);
    await bench.until(() => bench.numberOf(authority) > 0);
    const first = bench.numberOf(authority);
    await bench.deps.clock.advance(8 * 3_600_000 + 60_000);
    await bench.until(() => bench.numberOf(authority) > first);
  });

  test('are made again with a higher number when their ConfigMap is deleted or spoilt', async () => {
    const authority = await made();
    bench.ring(authority);
    await bench.until(() => bench.numberOf(authority) > 0);
    let last = bench.numberOf(authority);
    const map = bench.lists().get(authority.keyId);
    const ref = { namespace: system, name: map?.metadata.name ?? '' };
    await bench.deps.client.delete(resources.configmaps, ref);
    await bench.until(() => bench.numberOf(authority) > last);
    last = bench.numberOf(authority);
    const spoilt = bench.lists().get(authority.keyId);
    bench.deps.client.seed(resources.configmaps, {
      ...spoilt,
      metadata: { ...spoilt?.metadata, ...ref },
      data: { 'state.json': '{' },
    });
    bench.revoke('AB');
    await bench.until(() => bench.numberOf(authority) > last);
    expect(bench.serialsOf(authority)).toEqual(['AB']);
  });
});
