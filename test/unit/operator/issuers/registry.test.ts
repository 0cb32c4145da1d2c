// Issuers at work follow the objects that describe them.
import { afterEach, describe, expect, test } from '@jest/globals';
import type { TLSIssuer, TLSIssuerSpec } from '../../../../lib/api/tlsissuer.ts';
import { ObjectStore } from '../../../../lib/kube/store.ts';
import { aborted } from '../../../../lib/runtime/signals.ts';
import type { RunningIssuer } from '../../../../operator/issuers/issuer.ts';
import { type IssuerFactory, IssuerRegistry, kindOf } from '../../../../operator/issuers/registry.ts';
import { settle } from '../../../support/clock.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';

const vault = (role: string): TLSIssuerSpec => ({
  vault: { server: 'https://vault', path: 'pki', role, auth: { kubernetes: { role: 'tabard' } } },
});
let version = 0;
const issuer = (name: string, spec: TLSIssuerSpec, status?: TLSIssuer['status']): TLSIssuer => ({
  apiVersion: 'tabard.dev/v1alpha1',
  kind: 'TLSIssuer',
  metadata: {
    name,
    uid: name,
    resourceVersion: String((version += 1)),
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec,
  ...(status === undefined ? {} : { status }),
});

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort(new Error('the test is over'));
});

function registry(run: (name: string, signal: AbortSignal) => Promise<void> = (_, signal) => aborted(signal)) {
  const life: string[] = [];
  const changes = new Map<string, () => void>();
  const factory: IssuerFactory = (object, changed): RunningIssuer => {
    const label = `${object.metadata.name} ${object.spec.vault?.role}`;
    changes.set(object.metadata.name, changed);
    return {
      state: () => ({ ready: false, reason: 'IssuerNotReady', message: label }),
      sign: () => Promise.reject(new Error('it cannot')),
      run: async (signal) => {
        life.push(`start ${label}`);
        await run(label, signal);
        life.push(`end ${label}`);
      },
    };
  };
  const { logger, lines } = kubeDeps();
  const issuers = new ObjectStore<TLSIssuer>();
  const made = new IssuerRegistry({ issuers, factories: { vault: factory }, logger });
  const stop = new AbortController();
  stops.push(stop);
  const told: string[] = [];
  made.subscribe((name) => told.push(name));
  const running = made.run(stop.signal);
  return { made, issuers, life, told, changes, lines, stop, running };
}

describe('the registry of issuers', () => {
  test('starts an issuer, starts it anew when its spec changes, and stops it when its object goes', async () => {
    const { made, issuers, life, told } = registry();
    issuers.replace([issuer('v', vault('one'))]);
    await settle();
    expect(made.get('v')?.state(new Date())).toMatchObject({ message: 'v one' });
    issuers.replace([issuer('v', vault('two'))]);
    await settle();
    expect(made.get('v')?.state(new Date())).toMatchObject({ message: 'v two' });
    issuers.replace([]);
    await settle();
    expect(made.get('v')).toBeUndefined();
    expect(life).toEqual(['start v one', 'start v two', 'end v one', 'end v two']);
    expect(told).toEqual(['v', 'v', 'v']);
  });

  test('leaves an issuer alone whose status alone changed', async () => {
    const { made, issuers, life } = registry();
    issuers.replace([issuer('v', vault('one'))]);
    const before = made.get('v');
    issuers.replace([issuer('v', vault('one'), { caFingerprint: 'ab' })]);
    await settle();
    expect(made.get('v')).toBe(before);
    expect(life).toEqual(['start v one']);
  });

  test('runs nothing for a kind that it has no factory for', () => {
    const { made, issuers } = registry();
    issuers.replace([issuer('own', { selfSigned: {} }), issuer('none', {})]);
    expect(made.get('own')).toBeUndefined();
    expect(made.get('none')).toBeUndefined();
  });

  test('passes on what an issuer says of its own changes', () => {
    const { issuers, told, changes } = registry();
    issuers.replace([issuer('v', vault('one'))]);
    changes.get('v')?.();
    expect(told).toEqual(['v', 'v']);
  });

  test('survives an issuer that ends by an error, and says so', async () => {
    const { issuers, lines } = registry(() => Promise.reject(new Error('it broke')));
    issuers.replace([issuer('v', vault('one')), issuer('w', vault('one'))]);
    await settle();
    expect(lines.filter(({ msg }) => msg === 'an issuer ended by itself')).toHaveLength(2);
  });

  test('has stopped every issuer when it ends', async () => {
    const { issuers, life, stop, running } = registry();
    issuers.replace([issuer('v', vault('one')), issuer('w', vault('one'))]);
    await settle();
    stop.abort(new Error('the leader steps down'));
    await running;
    expect(life.filter((each) => each.startsWith('end'))).toEqual(['end v one', 'end w one']);
  });

  test.each([
    [{ selfSigned: {} }, 'selfSigned'],
    [vault('x'), 'vault'],
    [{}, undefined],
  ] as const)('knows the kind of %j', (spec, kind) => expect(kindOf(spec)).toBe(kind));
});
