// CAs outside of the cluster are told what is revoked, until they have done it, while nobody waits for them.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../../lib/api/tlsissuer.ts';
import type { TLSRevocation, TLSRevocationSpec } from '../../../../lib/api/tlsrevocation.ts';
import type { Secret } from '../../../../lib/kube/object.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import type { Issuer } from '../../../../operator/issuers/issuer.ts';
import type { RevokedLeaf, Unrevocable } from '../../../../operator/issuers/revoke.ts';
import type { BookEntry } from '../../../../operator/revocation/book.ts';
import { UpstreamRevoker } from '../../../../operator/revocation/upstream/controller.ts';
import { settle } from '../../../support/clock.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';
import { issuerObject } from '../../../support/remoteissuer.ts';
import { certificateSecret, revocation } from '../../../support/revocations.ts';

/** A revoker with a CA that answers as the test says. */
class RevokerBench {
  readonly deps = kubeDeps();
  readonly secrets = new ObjectStore<Secret>();
  readonly issuers = new ObjectStore<TLSIssuer>();
  readonly revocations = new ObjectStore<TLSRevocation>();
  readonly told: RevokedLeaf[] = [];
  readonly records: string[] = [];
  answer: () => Unrevocable | undefined = () => undefined;
  entries: readonly BookEntry[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  start(): void {
    const { client, clock, logger, metrics: kubeMetrics } = this.deps;
    this.secrets.replace(this.secrets.list(), '1');
    this.issuers.replace(this.issuers.list(), '1');
    this.revocations.replace(this.revocations.list(), '1');
    const ca = {
      state: (): ReturnType<Issuer['state']> => ({ ready: false, reason: 'IssuerNotReady', message: '' }),
      sign: () => Promise.reject(new Error('not here')),
      revoke: (leaf: RevokedLeaf) => {
        this.told.push(leaf);
        return Promise.resolve().then(this.answer);
      },
    };
    const revoker = new UpstreamRevoker({
      client,
      clock,
      logger,
      kubeMetrics,
      events: { record: (_, { reason }) => this.records.push(`event ${reason}`) },
      audit: { record: ({ action }) => this.records.push(`audit ${action}`) },
      book: {
        get: (name) => this.entries.find(({ object }) => object.metadata.name === name),
        list: () => this.entries,
        subscribe: (listener) => {
          const call = (): void => listener(true);
          this.#listeners.add(call);
          return () => this.#listeners.delete(call);
        },
      },
      revocations: this.revocations,
      secrets: this.secrets,
      issuers: this.issuers,
      podCertificates: { ofSerial: () => undefined },
      signers: { named: () => ca },
    });
    this.#running = revoker.run(this.#stop.signal);
  }

  issuer(name: string, spec: Readonly<Record<string, object>>, keyId = 'CA'): void {
    const authorities = [{ keyId, fingerprint: '', notAfter: '', role: 'Active' as const }];
    this.issuers.set(issuerObject(spec, { authorities }, name));
  }

  /** A TLSRevocation comes, and what it means. */
  async revoke(spec: TLSRevocationSpec, serials: readonly string[]): Promise<void> {
    const object = revocation('theft', spec, { version: 1 });
    this.deps.client.seed(resources.tlsrevocations, { ...object, metadata: { name: 'theft' } });
    this.entries = [
      {
        object,
        resolution: { identity: spec.identity, serials, recorded: true },
        lastNotAfter: undefined,
        standing: 'holds',
      },
    ];
    this.revocations.set(object);
    for (const listener of this.#listeners) listener();
    await settle();
  }

  get upstream(): unknown {
    return this.deps.client.all(resources.tlsrevocations)[0]?.status?.upstream;
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.deps.clock.advance(10_000);
    await this.#running;
  }
}

let bench: RevokerBench;
beforeEach(() => {
  bench = new RevokerBench();
});
afterEach(() => bench.stop());

/** A Secret of service web, issued by `issuer`; its serial. */
async function secret(issuer: string, notes: Record<string, string> = {}): Promise<string> {
  const { certificate, serial } = await testLeaf(await testAuthority());
  const annotations = { 'tabard.dev/serial': serial, 'tabard.dev/issuer': issuer, ...notes };
  bench.secrets.set(certificateSecret('web', certificate, annotations));
  return serial.replace(/^0+/, '');
}

describe('the CA of a revoked certificate', () => {
  test('is told its serial, the certificate and the reason, and the status says that it has done it', async () => {
    bench.issuer('vault', { vault: {} });
    const serial = await secret('vault');
    bench.start();
    await bench.revoke({ serial, reason: 'keyCompromise' }, [serial]);
    expect(bench.told).toEqual([{ serial, certificate: expect.any(Buffer), reason: 'keyCompromise' }]);
    expect(bench.upstream).toEqual([{ serial, issuer: 'vault', state: 'Revoked', message: 'the CA has revoked it' }]);
    expect(bench.records).toEqual(['audit CertificateRevokedUpstream', 'event RevokedUpstream']);
  });

  test('is told of every certificate of a revoked identity that it has signed', async () => {
    bench.issuer('vault', { vault: {} }, 'AB');
    const current = await secret('vault', { 'tabard.dev/previous-serials': '0A1B/AB/2026-07-01T00:00:00Z' });
    bench.start();
    await bench.revoke({ identity: 'spiffe://cluster.local/ns/shop/svc/web' }, []);
    expect(bench.told.map(({ serial }) => serial).sort()).toEqual(['A1B', current].sort());
  });

  test('is told again until it has done it, and a failure is said once', async () => {
    bench.issuer('vault', { vault: {} });
    const serial = await secret('vault');
    bench.answer = () => {
      throw new Error('it is sealed');
    };
    bench.start();
    await bench.revoke({ serial }, [serial]);
    expect(bench.upstream).toMatchObject([
      { state: 'Pending', message: 'it is sealed; it is told again', certificate: expect.any(String) },
    ]);
    await bench.deps.clock.advance(60_000);
    expect(bench.records).toEqual(['audit UpstreamRevocationFailed', 'event NotRevokedUpstream']);
    bench.answer = () => undefined;
    await bench.deps.clock.advance(600_000);
    expect(bench.upstream).toMatchObject([{ state: 'Revoked' }]);
    const times = bench.told.length;
    await bench.deps.clock.advance(4 * 3_600_000);
    expect(bench.told).toHaveLength(times);
  });

  test('that never will is not asked again', async () => {
    bench.issuer('public', { acme: {} });
    const serial = await secret('public');
    bench.answer = () => ({ never: 'it revokes nothing' });
    bench.start();
    await bench.revoke({ serial }, [serial]);
    await bench.deps.clock.advance(4 * 3_600_000);
    expect(bench.told).toHaveLength(1);
    expect(bench.upstream).toMatchObject([{ state: 'NotPossible', message: 'it revokes nothing' }]);
  });

  test.each<readonly [string, Partial<TLSRevocationSpec>]>([
    ['has an end', { until: '2027-01-01T00:00:00Z' }],
    ['is a hold', { reason: 'certificateHold' }],
  ])('is not told of a revocation that %s: it could not take it back', async (_name, spec) => {
    bench.issuer('vault', { vault: {} });
    const serial = await secret('vault');
    bench.start();
    await bench.revoke({ serial, ...spec }, [serial]);
    expect(bench.told).toEqual([]);
  });

  test('is not there where Tabard itself has signed', async () => {
    bench.issuer('cluster', { selfSigned: {} });
    const serial = await secret('cluster');
    bench.start();
    await bench.revoke({ serial }, [serial]);
    expect([bench.told, bench.upstream]).toEqual([[], undefined]);
  });
});
