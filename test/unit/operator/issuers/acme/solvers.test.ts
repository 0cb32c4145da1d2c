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
  test.each<readonly [string, readonly AcmeSolver[], string | undefined, ReadonlySet<string>]>([
    ['elsewhere.test', [http, alpn, dns], 'http-01', all],
    ['www.example.com', [http, alpn, dns], 'dns-01', all],
    ['shop.example.com', [http, alpn, dns], 'tls-alpn-01', all],
    ['a.shop.EXAMPLE.com', [http, alpn, dns], 'tls-alpn-01', all],
    ['notshop.example.com', [http, alpn, dns], 'dns-01', all],
    ['example.org', [alpn, dns], 'dns-01', all],
    ['*.shop.example.com', [http, alpn, dns], 'dns-01', all],
    ['*.elsewhere.test', [http, alpn, dns], undefined, all],
    ['shop.example.com', [http, alpn, dns], 'http-01', new Set(['http-01'])],
    ['elsewhere.test', [alpn, dns], undefined, all],
  ])('%s is found', (name, solvers, type, offered) => {
    const wildcard = name.startsWith('*.');
    const found = solverFor(solvers, { domain: wildcard ? name.slice(2) : name, wildcard }, offered);
    expect(found === undefined ? undefined : challengeTypeOf(found)).toBe(type);
  });
});
