import { describe, expect, test } from '@jest/globals';
import {
  dnsNamesOf,
  formatIdentity,
  identityOf,
  isDnsName,
  isNameElsewhere,
  isServiceName,
  isTrustDomain,
  parseAlternativeNames,
  parseIdentity,
} from '../../../../lib/pki/identity.ts';

const web = 'spiffe://cluster.local/ns/shop/svc/web';

describe('SPIFFE identities', () => {
  test('what is formatted parses to the same', () => {
    const identity = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web' };
    expect(formatIdentity(identity)).toBe(web);
    expect(parseIdentity(web)).toEqual(identity);
  });

  test.each([
    ['another scheme', 'https://cluster.local/ns/shop/svc/web'],
    ['an upper-case scheme', 'SPIFFE://cluster.local/ns/shop/svc/web'],
    ['an upper-case trust domain', 'spiffe://Cluster.local/ns/shop/svc/web'],
    ['an empty trust domain', 'spiffe:///ns/shop/svc/web'],
    ['a port', 'spiffe://cluster.local:443/ns/shop/svc/web'],
    ['user information', 'spiffe://a@cluster.local/ns/shop/svc/web'],
    ['a query', `${web}?a=b`],
    ['a fragment', `${web}#a`],
    ['a trailing slash', `${web}/`],
    ['a further segment', `${web}/more`],
    ['a service account path', 'spiffe://cluster.local/ns/shop/sa/web'],
    ['dots in the path', 'spiffe://cluster.local/ns/shop/svc/..'],
    ['percent-encoding', 'spiffe://cluster.local/ns/shop/svc/w%65b'],
    ['an empty service', 'spiffe://cluster.local/ns/shop/svc/'],
    ['a label of 64 characters', `spiffe://cluster.local/ns/shop/svc/${'a'.repeat(64)}`],
    ['a label that ends in a dash', 'spiffe://cluster.local/ns/shop/svc/web-'],
    ['a line break at the end', `${web}\n`],
    ['a null byte', `${web}\0`],
  ])('refuses %s', (_, uri) => {
    expect(parseIdentity(uri)).toBeUndefined();
  });

  test.each(['cluster.local', 'mesh', 'a-b.example'])('accepts the trust domain %s', (name) => {
    expect(isTrustDomain(name)).toBe(true);
  });

  test.each(['', 'A.local', 'a..b', '-a', 'a_b', 'a/b', 'a.'.repeat(127), 'a'.repeat(254)])(
    'refuses the trust domain "%s"',
    (name) => {
      expect(isTrustDomain(name)).toBe(false);
    },
  );
});

describe('names of services', () => {
  test.each([
    ['web', true],
    ['0', true],
    ['a'.repeat(56), true],
    ['a'.repeat(57), false],
    ['a/b', false],
    ['..', false],
    ['web-', false],
    ['Web', false],
    ['web\n', false],
    ['', false],
  ])('"%s": %s', (name, expected) => {
    expect(isServiceName(name)).toBe(expected);
  });
});

describe('the identity in a certificate', () => {
  test.each([
    ['one SPIFFE URI among other names', `DNS:web, URI:${web}, IP Address:10.0.0.1`, web],
    ['no URI', 'DNS:web', undefined],
    ['no names', undefined, undefined],
    ['two URIs', `URI:${web}, URI:spiffe://cluster.local/ns/shop/svc/api`, undefined],
    ['the same URI twice', `URI:${web}, URI:${web}`, undefined],
    ['a URI of another form', 'URI:spiffe://cluster.local/ns/shop/sa/web', undefined],
    ['a SPIFFE URI beside another URI', `URI:${web}, URI:https://example.com`, undefined],
    ['a quoted URI', `URI:"${web}"`, undefined],
    ['a DNS name that pretends to be a URI', `DNS:"x, URI:${web}"`, undefined],
    ['text that does not fit the form', `DNS:web; URI:${web}`, undefined],
  ])('with %s', (_, subjectAltName, expected) => {
    expect(identityOf({ subjectAltName })).toBe(expected);
  });

  test('quoted values stay one entry', () => {
    expect(parseAlternativeNames('DNS:"a, URI:b\\"c", IP Address:::1')).toEqual([
      { kind: 'DNS', value: '"a, URI:b\\"c"' },
      { kind: 'IP Address', value: '::1' },
    ]);
  });
});

describe('DNS names of a service', () => {
  const request = { namespace: 'shop', clusterDomain: 'cluster.local' };

  test('a Service gives its four names', () => {
    const services = [{ name: 'web', headless: false }];
    expect(dnsNamesOf({ ...request, services })).toEqual([
      'web',
      'web.shop',
      'web.shop.svc',
      'web.shop.svc.cluster.local',
    ]);
  });

  test('a headless Service gives the names of its pods, too', () => {
    const names = dnsNamesOf({ ...request, services: [{ name: 'db', headless: true }] });
    expect(names.filter((name) => name.startsWith('*'))).toEqual([
      '*.db.shop',
      '*.db.shop.svc',
      '*.db.shop.svc.cluster.local',
    ]);
  });

  test('names are sorted and not repeated, whatever the order of the Services', () => {
    const a = { name: 'a', headless: false };
    const b = { name: 'b', headless: false };
    const one = dnsNamesOf({ ...request, services: [b, a], extra: ['a.shop', 'z.example'] });
    expect(one).toEqual(dnsNamesOf({ ...request, services: [a, b, a], extra: ['z.example'] }));
    expect(one).toHaveLength(9);
  });

  test('no Service, no name', () => {
    expect(dnsNamesOf({ ...request, services: [] })).toEqual([]);
  });

  test.each([
    ['web', true],
    ['*.db.shop', true],
    ['*.shop', false],
    ['*', false],
    ['*.', false],
    ['a.*.b', false],
    ['Web', false],
    ['web.', false],
    ['a b', false],
    ['', false],
  ])('"%s" may stand in a certificate: %s', (name, allowed) => {
    expect(isDnsName(name)).toBe(allowed);
  });
});

describe('names of another namespace', () => {
  test.each([
    ['a Service of another namespace', 'api.payments.svc', true],
    ['its full name', 'api.payments.svc.cluster.local', true],
    ['a pod of a headless Service there', 'db-0.db.payments.svc.cluster.local', true],
    ['what the cluster names itself', '10-0-0-1.payments.pod.cluster.local', true],
    ['a wildcard over a whole namespace', '*.payments.svc', true],
    ['the domain itself', 'cluster.local', true],
    ['a Service of this namespace', 'api.shop.svc.cluster.local', false],
    ['a pod of a headless Service here', 'db-0.db.shop.svc', false],
    ['a name of the public web', 'api.svc.example.com', false],
    ['a short name', 'api', false],
  ])('%s: %s', (_, name, elsewhere) => {
    expect(isNameElsewhere(name, 'shop', 'cluster.local')).toBe(elsewhere);
  });

  test('never get into a certificate, also where a namespace has the name of a part of the names', () => {
    const services = [{ name: 'shop', headless: true }];
    const names = dnsNamesOf({ namespace: 'svc', clusterDomain: 'cluster.local', services, extra: ['web.shop.svc'] });
    expect(names).toEqual([
      '*.shop.svc.svc',
      '*.shop.svc.svc.cluster.local',
      'shop',
      'shop.svc',
      'shop.svc.svc',
      'shop.svc.svc.cluster.local',
    ]);
  });
});
