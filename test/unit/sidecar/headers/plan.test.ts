import { createHash, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { EffectivePolicy } from '../../../../lib/api/control.ts';
import { defaultPolicy } from '../../../../lib/policy/defaults.ts';
import { clientCert, forwardedElement } from '../../../../sidecar/headers/clientcert.ts';
import { forwardedNames, headerPlan } from '../../../../sidecar/headers/plan.ts';
import type { PeerFacts } from '../../../../sidecar/tls/peer.ts';
import { testAuthority, testLeaf } from '../../../support/pki.ts';

const identity = 'spiffe://cluster.local/ns/shop/svc/api';
let peer: PeerFacts & { readonly certificate: X509Certificate };

beforeAll(async () => {
  const leaf = await testLeaf(await testAuthority());
  const certificate = new X509Certificate(leaf.certificate);
  peer = {
    identity: leaf.identity,
    fingerprint: certificate.fingerprint256,
    serial: leaf.serial,
    issuer: certificate.issuer,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    certificate,
  };
});

const policy = (changes: Partial<EffectivePolicy>): EffectivePolicy => ({ ...defaultPolicy, ...changes });
const both = ['Client-Cert', 'X-Forwarded-Client-Cert'] as const;
const asked = (trustedForwarders: readonly string[] = []) =>
  policy({ clientCertificate: { headers: both, trustedForwarders } });

describe('fields for answers', () => {
  const nosniff = { name: 'X-Content-Type-Options', value: 'nosniff' };
  const wanted = policy({ http: { hsts: 'max-age=1' }, securityHeaders: [nosniff] });

  test.each(['mutual', 'anonymous'] as const)('come over TLS: %s', (transport) => {
    expect(headerPlan(wanted, { transport, identity }).answers).toEqual([
      { name: 'Strict-Transport-Security', value: 'max-age=1' },
      nosniff,
    ]);
  });

  test.each(['plaintext', 'untouched'] as const)('never come over %s (RFC 6797 section 7.2)', (transport) => {
    expect(headerPlan(wanted, { transport, identity }).answers).toEqual([]);
  });
});

describe('the word of somebody else about a certificate', () => {
  test.each([
    ['a stranger', 'plaintext' as const, () => undefined],
    ['a client without a certificate', 'anonymous' as const, () => undefined],
    ['a member of the mesh', 'mutual' as const, () => peer],
  ])('of %s is taken out, whether the policy wants any or not', (_, transport, who) => {
    for (const each of [asked(['spiffe://cluster.local/ns/shop/svc/other']), defaultPolicy]) {
      expect(headerPlan(each, { transport, identity, peer: who() }).removed).toEqual(forwardedNames);
    }
  });

  test('passes from a forwarder that the policy names, with one more element of X-Forwarded-Client-Cert', () => {
    const plan = headerPlan(asked([peer.identity]), { transport: 'mutual', identity, peer });
    expect(plan.removed).toEqual([]);
    expect(plan.proved.map(({ name }) => name)).toEqual(['X-Forwarded-Client-Cert']);
  });
});

describe('what a client has proved', () => {
  test('is told in the forms that the policy names, of the certificate that was verified', () => {
    const { proved } = headerPlan(asked(), { transport: 'mutual', identity, peer });
    expect(proved).toEqual([
      { name: 'Client-Cert', value: clientCert(peer.certificate) },
      { name: 'X-Forwarded-Client-Cert', value: forwardedElement(peer.certificate, peer, identity) },
    ]);
  });

  test.each([
    ['nobody asked', () => defaultPolicy, () => peer],
    ['there is no certificate', () => asked(), () => undefined],
  ])('is not told where %s', (_, of, who) => {
    expect(headerPlan(of(), { transport: 'mutual', identity, peer: who() }).proved).toEqual([]);
  });

  test('is in Client-Cert the DER as a byte sequence of a structured field (RFC 9440 section 2.2)', () => {
    const value = clientCert(peer.certificate);
    expect(value).toMatch(/^:[A-Za-z0-9+/]+={0,2}:$/);
    expect(new X509Certificate(Buffer.from(value.slice(1, -1), 'base64')).serialNumber).toBe(peer.serial);
  });

  test('is in X-Forwarded-Client-Cert what Envoy writes', () => {
    const hash = createHash('sha256').update(peer.certificate.raw).digest('hex');
    expect(forwardedElement(peer.certificate, peer, identity)).toBe(
      `By=${identity};Hash=${hash};Subject="";URI=${peer.identity};DNS=web;DNS=web.shop;DNS=web.shop.svc`,
    );
  });

  test.each([
    ['CN=a\nO="b", c\\d', 'Subject="O=\\"b\\", c\\\\d,CN=a"'],
    ['CN=\r\nx: y', 'Subject="x: y,CN=?"'],
  ])('has the subject %j in quotes, and nothing in it ends them', (subject, text) => {
    const odd = { subject, subjectAltName: 'DNS:a, URI:"x, DNS:b, y"' } as X509Certificate;
    const element = forwardedElement(odd, peer, identity);
    expect(element).toContain(text);
    expect(element).not.toContain('DNS=');
  });
});
