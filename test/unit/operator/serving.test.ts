// The certificate of the control API: there as soon as a CA is, new before it expires and with every new CA.
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import { systemClock } from '../../../lib/clock.ts';
import { ObjectStore } from '../../../lib/kube/store.ts';
import type { Authority } from '../../../lib/pki/ca.ts';
import { identityOf } from '../../../lib/pki/identity.ts';
import { type AuthoritySource, newlyTrusted, type TrustedAuthority } from '../../../operator/authority/authority.ts';
import { ServingCertificate } from '../../../operator/serving.ts';
import { MeshTrust } from '../../../operator/trust/mesh.ts';
import { kubeDeps } from '../../support/kubedeps.ts';
import { testAuthority } from '../../support/pki.ts';

const start = new Date('2026-01-01T00:00:00Z');
let one: Authority;
let two: Authority;

beforeAll(async () => {
  one = await testAuthority({ now: start });
  two = await testAuthority({ now: start });
});

class Source implements AuthoritySource {
  #current: TrustedAuthority | undefined;
  readonly #listeners = new Set<(current: TrustedAuthority) => void>();

  current(): TrustedAuthority | undefined {
    return this.#current;
  }

  subscribe(listener: (current: TrustedAuthority) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  offer(authority: Authority): void {
    this.#current = newlyTrusted(authority);
    for (const listener of this.#listeners) listener(this.#current);
  }

  get listeners(): number {
    return this.#listeners.size;
  }
}

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function serving() {
  const deps = kubeDeps();
  const authority = new Source();
  const mine = { namespace: 'tabard-system', trustDomain: 'cluster.local', clusterDomain: 'cluster.local' };
  const trust = new MeshTrust({ ...deps, authority, issuers: new ObjectStore<TLSIssuer>() });
  trust.follow();
  const certificate = new ServingCertificate({ ...deps, ...mine, authority, trust });
  const stop = new AbortController();
  stops.push(stop);
  const running = certificate.run(stop.signal);
  const serial = () => certificate.source.current()?.serial;
  // Keys are made on other threads, which a still clock knows nothing of.
  const changed = async (from: string | undefined) => {
    for (let turn = 0; serial() === from && turn < 500; turn += 1) await systemClock.sleep(2);
    return serial();
  };
  return { ...deps, authority, certificate, stop, running, serial, changed };
}

describe('the serving certificate', () => {
  test('waits for the CA, then proves to be the operator under its names', async () => {
    const { authority, certificate, serial, changed } = serving();
    expect(serial()).toBeUndefined();
    authority.offer(one);
    await changed(undefined);
    await certificate.first;
    const current = certificate.source.current();
    expect(current === undefined ? '' : identityOf(current.leaf)).toBe(
      'spiffe://cluster.local/ns/tabard-system/svc/tabard-operator',
    );
    expect(current?.leaf.subjectAltName).toContain('DNS:tabard-operator.tabard-system.svc.cluster.local');
    expect(current?.notAfter.toISOString()).toBe('2026-01-02T00:00:00.000Z');
  });

  test('is renewed after sixteen hours, with a new key', async () => {
    const { authority, certificate, clock, serial, changed } = serving();
    authority.offer(one);
    const first = await changed(undefined);
    const key = certificate.source.current()?.key;
    await clock.advance(16 * 3_600_000 - 1_000);
    expect(serial()).toBe(first);
    await clock.advance(1_000);
    expect(await changed(first)).not.toBe(first);
    expect(certificate.source.current()?.key).not.toBe(key);
  });

  test('is made anew at once with a new CA', async () => {
    const { authority, certificate, changed } = serving();
    authority.offer(one);
    const first = await changed(undefined);
    authority.offer(two);
    await changed(first);
    expect(certificate.source.current()?.trustBundle).toBe(newlyTrusted(two).trustBundle);
  });

  test('stays when no new one can be made, and that is said and tried again', async () => {
    const { authority, clock, lines, serial, changed } = serving();
    authority.offer(await testAuthority({ now: start, lifetimeMs: 20 * 3_600_000 }));
    await changed(undefined);
    for (let hour = 0; hour < 24; hour += 1) {
      await clock.advance(3_600_000);
      await systemClock.sleep(10);
    }
    const failures = lines.filter(({ level }) => level === 'error').length;
    expect(failures).toBeGreaterThan(0);
    await clock.advance(60_000);
    await systemClock.sleep(10);
    expect(lines.filter(({ level }) => level === 'error').length).toBe(failures + 1);
    const kept = serial();
    expect(kept).toBeDefined();
    authority.offer(one);
    expect(await changed(kept)).not.toBe(kept);
  });

  test('ends with its signal and leaves nothing behind', async () => {
    const { authority, clock, stop, running, changed } = serving();
    authority.offer(one);
    await changed(undefined);
    stop.abort();
    await running;
    // The one that is left is the bundle's.
    expect([authority.listeners, clock.sleepers]).toEqual([1, 0]);
  });
});
