import { describe, expect, test } from '@jest/globals';
import {
  enforcedText,
  isEnforced,
  reasonOf,
  revocationName,
  revocationTable,
  targetSpec,
  untilOf,
} from '../../../cli/revocations.ts';
import type { TLSRevocation } from '../../../lib/api/tlsrevocation.ts';

const now = new Date('2026-01-01T00:00:00Z');

function revocation(spec: TLSRevocation['spec'], status?: TLSRevocation['status']): TLSRevocation {
  const metadata = {
    name: 'r',
    uid: '',
    resourceVersion: '',
    generation: 2,
    creationTimestamp: '2025-12-31T23:00:00Z',
  };
  return { apiVersion: '', kind: 'TLSRevocation', metadata, spec, ...(status === undefined ? {} : { status }) };
}

describe('what is revoked', () => {
  test.each([
    ['identity', 'spiffe://cluster.local/ns/shop/svc/web', { identity: 'spiffe://cluster.local/ns/shop/svc/web' }],
    ['serial', 'ab:CD:01', { serial: 'ABCD01' }],
    ['pod', 'web-1', { pod: { namespace: 'here', name: 'web-1' } }],
    ['pod', 'shop/web-1', { pod: { namespace: 'shop', name: 'web-1' } }],
  ])('%s %s is understood', (target, text, spec) => {
    expect(targetSpec(target, text, 'here')).toEqual(spec);
  });

  test.each([
    ['identity', 'shop/web', 'spiffe://cluster.local'],
    ['identity', 'spiffe://cluster.local/ns/shop/sa/web', 'spiffe://cluster.local'],
    ['serial', '12 34', 'hexadecimal'],
    ['serial', '', 'hexadecimal'],
    ['pod', 'a/b/c', 'NAMESPACE/NAME'],
    ['pod', '/b', 'NAMESPACE/NAME'],
    ['service', 'web', 'identity, serial, pod'],
  ])('%s "%s" is refused with how to write it', (target, text, said) => {
    expect(() => targetSpec(target, text, 'here')).toThrow(said);
  });

  test('gives a name that says so, the same for the same thing and another for any other', () => {
    const web = revocationName({ identity: 'spiffe://cluster.local/ns/shop/svc/web' });
    expect(web).toMatch(/^identity-shop-svc-web-[0-9a-f]{8}$/);
    expect(revocationName({ identity: 'spiffe://cluster.local/ns/shop/svc/web' })).toBe(web);
    expect(revocationName({ identity: 'spiffe://other.local/ns/shop/svc/web' })).not.toBe(web);
    expect(revocationName({ pod: { namespace: 'a', name: 'x'.repeat(253) } }).length).toBeLessThan(100);
  });
});

describe('reason and end', () => {
  test('a reason is one of RFC 5280, however it is written', () => {
    expect(reasonOf('KEYCOMPROMISE')).toBe('keyCompromise');
    expect(() => reasonOf('stolen')).toThrow('keyCompromise');
  });

  test.each([
    ['8h', '2026-01-01T08:00:00Z'],
    ['1d', '2026-01-02T00:00:00Z'],
    ['2026-02-01T00:00:00Z', '2026-02-01T00:00:00Z'],
    ['2026-02-01T01:00:00+01:00', '2026-02-01T00:00:00Z'],
  ])('an end of %s is %s', (text, until) => {
    expect(untilOf(text, now)).toBe(until);
  });

  test.each([
    ['tomorrow', 'duration'],
    ['2025-12-31T00:00:00Z', 'passed'],
    ['2026-99-99T00:00:00Z', 'time'],
    ['0s', 'passed'],
  ])('an end of %s is refused', (text, said) => {
    expect(() => untilOf(text, now)).toThrow(said);
  });
});

describe('how far it is enforced', () => {
  const enforced = { type: 'Enforced', status: 'True', reason: '', message: '', lastTransitionTime: '' } as const;

  test('is said by the condition, of the present spec', () => {
    expect(isEnforced(revocation({}))).toBe(false);
    expect(isEnforced(revocation({}, { conditions: [enforced] }))).toBe(true);
    expect(isEnforced(revocation({}, { conditions: [{ ...enforced, observedGeneration: 2 }] }))).toBe(true);
    expect(isEnforced(revocation({}, { conditions: [{ ...enforced, observedGeneration: 1 }] }))).toBe(false);
    expect(isEnforced(revocation({}, { conditions: [{ ...enforced, status: 'False' }] }))).toBe(false);
  });

  test('stands in the table', () => {
    const status = { sidecars: { total: 5, enforcing: 4 } };
    expect(enforcedText(revocation({}))).toBe('-');
    const spec = {
      pod: { namespace: 'shop', name: 'web-1' },
      reason: 'keyCompromise',
      until: '2026-01-01T08:00:00Z',
    } as const;
    expect(revocationTable([revocation(spec, status)], now)).toEqual([
      'NAME   KIND   WHAT         REASON          ENFORCED   ENDS    AGE',
      'r      pod    shop/web-1   keyCompromise   4/5        in 8h   1h',
    ]);
  });
});
