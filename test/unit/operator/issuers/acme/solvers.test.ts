// Which solver answers for a name.
import { describe, expect, test } from '@jest/globals';
import type { AcmeSolver } from '../../../../../lib/api/tlsissuer.ts';
import { challengeTypeOf, solverFor } from '../../../../../operator/issuers/acme/solvers.ts';

const http: AcmeSolver = { http01: {} };
const alpn: AcmeSolver = { tlsAlpn01: {}, dnsZones: ['shop.example.com'] };
const dns: AcmeSolver = {
  dns01: { rfc2136: { nameserver: '10.0.0.2:53' } },
  dnsZones: ['example.com', 'example.org.'],
};
const all = new Set(['http-01', 'tls-alpn-01', 'dns-01']);

describe('the solver for a name', () => {
  test.each<readonly [string, boolean, readonly AcmeSolver[], ReadonlySet<string>, string | undefined]>([
    ['elsewhere.test', false, [http, alpn, dns], all, 'http-01'],
    ['www.example.com', false, [http, alpn, dns], all, 'dns-01'],
    ['shop.example.com', false, [http, alpn, dns], all, 'tls-alpn-01'],
    ['a.shop.EXAMPLE.com', false, [http, alpn, dns], all, 'tls-alpn-01'],
    ['notshop.example.com', false, [http, alpn, dns], all, 'dns-01'],
    ['example.org', false, [alpn, dns], all, 'dns-01'],
    ['shop.example.com', true, [http, alpn, dns], all, 'dns-01'],
    ['elsewhere.test', true, [http, alpn, dns], all, undefined],
    ['shop.example.com', false, [http, alpn, dns], new Set(['http-01']), 'http-01'],
    ['elsewhere.test', false, [alpn, dns], all, undefined],
  ])('%s (wildcard: %p) is found', (domain, wildcard, solvers, offered, type) => {
    const found = solverFor(solvers, { domain, wildcard }, offered);
    expect(found === undefined ? undefined : challengeTypeOf(found)).toBe(type);
  });
});
