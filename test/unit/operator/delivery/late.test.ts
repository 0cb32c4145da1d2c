// "Secret reaches pods late" (kubernetes#50345, cert-controller#35 saw 30 to 90 s): a renewal leaves more than the kubelet takes, at any
// lifetime, and what is mounted is what a kubelet renews.
import { describe, expect, test } from '@jest/globals';
import { parseDuration } from '../../../../lib/clock.ts';
import { BACKDATE_MS } from '../../../../lib/pki/ca.ts';
import { defaultCertificate, lifetimes } from '../../../../lib/policy/defaults.ts';
import { renewalTime } from '../../../../operator/certificates/schedule.ts';
import { arrayAt } from '../../../../webhook/json.ts';
import { stored } from '../../../support/webhook.ts';

/** Sync period and cache of a kubelet with its defaults. */
const kubeletMs = 120_000;

describe('a Secret that reaches pods late', () => {
  test.each(['10m', '30m', '1h', '24h', '90d'])('at a lifetime of %s is renewed early enough', (lifetime) => {
    const lifetimeMs = parseDuration(lifetime);
    expect(lifetimeMs).toBeGreaterThanOrEqual(lifetimes.shortestMs);
    const issuedMs = Date.parse('2026-01-01T00:00:00Z');
    // Serials between which the jitter lies.
    for (const serial of ['00', '7F', 'AB12', 'FFFFFFFF']) {
      const notAfter = new Date(issuedMs + lifetimeMs);
      const times = { serial, notBefore: new Date(issuedMs - BACKDATE_MS), notAfter };
      const leftMs = notAfter.getTime() - renewalTime(times, defaultCertificate.renewAt).getTime();
      expect(leftMs).toBeGreaterThan(kubeletMs);
    }
  });

  test('is mounted as a folder in every container, never as a subPath', () => {
    const containers = [{ name: 'a' }, { name: 'b', volumeMounts: [{ name: 'data', mountPath: '/data' }] }];
    const pod = stored({
      kind: 'Pod',
      metadata: { name: 'web', annotations: { 'tabard.dev/inject': 'certificate' } },
      spec: { containers, initContainers: [{ name: 'c' }] },
    });
    const all = ['initContainers', 'containers'].flatMap((list) => arrayAt(pod, 'spec', list));
    const mounts = all.map((each) => arrayAt(each, 'volumeMounts').at(-1));
    expect(mounts).toEqual(
      ['c', 'a', 'b'].map(() => ({ name: 'tabard-tls', mountPath: '/var/run/tabard/tls', readOnly: true })),
    );
  });
});
