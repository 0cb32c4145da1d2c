import { describe, expect, test } from '@jest/globals';
import { maximumPlaintext, parseStatusBody } from '../../../../operator/control/statusbody.ts';

const entry = { address: '10.0.0.1', port: 8080, count: 1, refused: true };
const good = {
  podName: 'api-7d4b9c-x2x',
  podUid: '6f1ab2c0-0000-4000-8000-000000000001',
  selfVersion: 'abc-_123',
  bundleFingerprint: 'ab'.repeat(32),
  serial: '0AFF',
  notAfter: '2026-11-23T10:00:00.000Z',
  plaintext: [entry],
};

describe('the body of a status report', () => {
  test.each<[string, unknown, unknown]>([
    ['is read as it is', good, good],
    [
      'may say that nothing is in use yet',
      { ...good, serial: '', notAfter: '', selfVersion: '', bundleFingerprint: '' },
      undefined,
    ],
    ['may say which CA signed the certificate in use', { ...good, issuerKeyId: 'AB'.repeat(20) }, undefined],
    ['may list the CAs in the bundle', { ...good, authorities: ['cd'.repeat(32)] }, undefined],
    [
      'may say which rules matched',
      {
        ...good,
        authorization: 1,
        rules: [
          { name: 'web-reads', outcome: 'allowed', count: 3 },
          { name: 'pci.v1/no-dev', outcome: 'audited', count: 1 },
          { name: '', outcome: 'denied', count: 1 },
        ],
      },
      undefined,
    ],
    ['may name issuers whose keys are not known', { ...good, keysWanted: ['https://login'] }, undefined],
    ['may have members of a later version', { ...good, revoked: [1] }, good],
    [
      'has its addresses made canonical',
      { ...good, plaintext: [{ ...entry, address: '::ffff:10.0.0.1', more: 1 }] },
      good,
    ],
  ])('%s', (_name, body, expected) => {
    const parsed = parseStatusBody(JSON.stringify(body));
    expect(parsed).toEqual({ ok: true, report: expected ?? body });
  });

  test.each<[string, unknown, string]>([
    ['a list', [good], 'not an object'],
    ['null', null, 'not an object'],
    ['a missing member', { ...good, podUid: undefined }, 'podUid'],
    ['a number for a text', { ...good, serial: 12 }, 'serial'],
    ['a name with a newline', { ...good, podName: 'api\nx' }, 'podName'],
    ['a uid that is too long', { ...good, podUid: 'a'.repeat(65) }, 'podUid'],
    ['a lower-case serial', { ...good, serial: 'ab' }, 'serial'],
    ['a short fingerprint', { ...good, bundleFingerprint: 'ab' }, 'bundleFingerprint'],
    ['authorities that are no list', { ...good, authorities: 'ab'.repeat(32) }, 'authorities'],
    ['an authority that is no SHA-256', { ...good, authorities: ['ab'] }, 'authorities'],
    ['a lower-case key id', { ...good, issuerKeyId: 'ab' }, 'issuerKeyId'],
    ['a form of rules that is none', { ...good, authorization: 'new' }, 'authorization'],
    ['rules that are no list', { ...good, rules: {} }, 'rules'],
    ['a rule that was hit never', { ...good, rules: [{ name: 'a', outcome: 'allowed', count: 0 }] }, 'rules'],
    ['a rule with an outcome that is none', { ...good, rules: [{ name: 'a', outcome: 'ok', count: 1 }] }, 'rules'],
    ['a rule with a name that is none', { ...good, rules: [{ name: 'A\n', outcome: 'denied', count: 1 }] }, 'rules'],
    ['issuers that are no list', { ...good, keysWanted: 'https://login' }, 'keysWanted'],
    ['an issuer without a name', { ...good, keysWanted: [''] }, 'keysWanted'],
    ['more issuers than a policy may list', { ...good, keysWanted: Array(9).fill('i') }, 'keysWanted'],
    ['a time that is none', { ...good, notAfter: 'tomorrow' }, 'notAfter'],
    ['no list of plaintext', { ...good, plaintext: {} }, 'plaintext'],
    [
      'too much plaintext',
      { ...good, plaintext: Array.from({ length: maximumPlaintext + 1 }, () => entry) },
      'plaintext',
    ],
    ['a host name', { ...good, plaintext: [{ ...entry, address: 'api' }] }, 'plaintext'],
    ['port 0', { ...good, plaintext: [{ ...entry, port: 0 }] }, 'plaintext'],
    ['a broken count', { ...good, plaintext: [{ ...entry, count: 1.5 }] }, 'plaintext'],
    ['no word on refusal', { ...good, plaintext: [{ ...entry, refused: 'yes' }] }, 'plaintext'],
    ['an entry that is none', { ...good, plaintext: [null] }, 'plaintext'],
  ])('%s is refused', (_name, body, problem) => {
    const parsed = parseStatusBody(JSON.stringify(body));
    expect(parsed).toMatchObject({ ok: false, problem: expect.stringContaining(problem) });
  });

  test('what is no JSON is refused', () => {
    expect(parseStatusBody('{')).toEqual({ ok: false, problem: 'the body is not JSON' });
  });
});
