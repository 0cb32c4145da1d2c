// The group of a handshake, read from a session as OpenSSL keeps it.
import { describe, expect, test } from '@jest/globals';
import { groupOfSession } from '../../../../sidecar/tls/group.ts';

const element = (tag: number, content: Buffer): Buffer => {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
};
const number = (...octets: readonly number[]): Buffer => element(0x02, Buffer.from(octets));
/** Version, cipher, a certificate that is longer than its length can be said in one octet, and what is asked for. */
const session = (...last: readonly Buffer[]): Buffer =>
  element(
    0x30,
    Buffer.concat([number(1), element(0x04, Buffer.from([0x13, 0x02])), element(0xa3, Buffer.alloc(700)), ...last]),
  );
const group = (...octets: readonly number[]): Buffer => element(0xb3, number(...octets));

describe('the group of a session', () => {
  test.each<readonly [string, Buffer | undefined, string | undefined]>([
    ['of one octet', session(group(0x1d)), 'X25519'],
    ['of two octets', session(group(0x11, 0xec)), 'X25519MLKEM768'],
    ['before something that comes later', session(group(0x17), element(0xb4, number(1))), 'prime256v1'],
    ['behind another number', session(element(0xad, number(2)), group(0x18)), 'secp384r1'],
    ['that nobody knows', session(group(0x7f, 0xff)), undefined],
    ['that is longer than a number of TLS', session(group(0, 0, 0, 0, 0x1d)), undefined],
    ['that is empty', session(element(0xb3, Buffer.alloc(0))), undefined],
    ['that is not there', session(), undefined],
    ['where the session is something else', Buffer.from('no session'), undefined],
    ['where there is no session', undefined, undefined],
  ])('%s', (_, der, expected) => {
    expect(groupOfSession(der)).toBe(expected);
  });

  test('of a session that is cut off is unknown', () => {
    const whole = session(group(0x11, 0xec));
    for (let length = 0; length < whole.length; length += 1)
      expect(groupOfSession(whole.subarray(0, length))).toBeUndefined();
  });
});
