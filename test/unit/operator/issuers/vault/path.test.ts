// Paths into Vault's API.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { tokenFileName } from '../../../../../operator/issuers/vault/credentials.ts';
import { apiUrl, namespaceOf, segmentOf, segmentsOf } from '../../../../../operator/issuers/vault/path.ts';

describe('a path of Vault', () => {
  test.each(['pki', 'pki/mesh', 'pki_int-1/v1.2', 'a.b/c'])('may be %s', (path) => {
    expect(segmentsOf('path', path).join('/')).toBe(path);
  });

  test.each([
    '',
    '/pki',
    'pki/',
    'a//b',
    '..',
    'a/../b',
    '.',
    'a/./b',
    'a b',
    'a?b',
    'a#b',
    'a%2fb',
    'a\\b',
    'ä',
    'a\nb',
  ])('may not be %j (cert-manager#8930)', (path) => {
    expect(() => segmentsOf('path', path)).toThrow(expect.objectContaining({ reason: 'SpecInvalid' }));
  });

  test('never leaves the place below /v1/ that it is joined to, whatever it is', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webPath(), fc.constantFrom('..', '%2e%2e', '//x', 'a/../../b')), (path) => {
        let segments: readonly string[];
        try {
          segments = segmentsOf('path', path);
        } catch {
          return;
        }
        const url = apiUrl('https://vault:8200/base', `${segments.join('/')}/sign/mesh`);
        expect(url.href).toBe(`https://vault:8200/base/v1/${path}/sign/mesh`);
      }),
    );
  });

  test('of one segment may not have two', () => {
    expect(() => segmentOf('role', 'a/b')).toThrow(expect.objectContaining({ reason: 'SpecInvalid' }));
  });
});

describe('a namespace of Vault', () => {
  test.each([
    [undefined, undefined],
    ['', undefined],
    ['teams', 'teams'],
    ['/teams/mesh/', 'teams/mesh'],
  ])('%j is sent as %j', (namespace, header) => {
    expect(namespaceOf(namespace)).toBe(header);
  });

  test('that climbs is refused', () => {
    expect(() => namespaceOf('a/../b')).toThrow(expect.objectContaining({ reason: 'SpecInvalid' }));
  });
});

describe('an address of Vault', () => {
  test.each(['http://vault:8200', 'vault:8200', 'https://user@vault', 'https://vault?x=1', 'https://vault#x', ''])(
    'may not be %j',
    (server) => {
      expect(() => apiUrl(server, 'sys/health')).toThrow(expect.objectContaining({ reason: 'SpecInvalid' }));
    },
  );
});

describe('the file of a token', () => {
  test.each([
    ['vault', 'vault'],
    ['https://vault.example.com:8200/x', 'https___vault.example.com_8200_x'],
    ['../../etc/shadow', '.._.._etc_shadow'],
  ])('for audience %s is %s', (audience, name) => {
    expect(tokenFileName(audience)).toBe(name);
  });
});
