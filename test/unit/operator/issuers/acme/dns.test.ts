// DNS messages and TSIG: written bytes against bytes worked out by hand, and what must not be read.
import { createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { parseNameServer } from '../../../../../operator/issuers/acme/dns/exchange.ts';
import {
  encodeName,
  queryMessage,
  readMessage,
  readName,
  updateMessage,
} from '../../../../../operator/issuers/acme/dns/message.ts';
import { signMessage, type TsigKey, verifyAnswer } from '../../../../../operator/issuers/acme/dns/tsig.ts';

const key: TsigKey = { name: 'Test.Key', algorithm: 'HMACSHA256', secret: Buffer.alloc(32, 9) };
const now = new Date('2026-11-22T10:00:00Z');

describe('a message', () => {
  test('asks for the SOA of a name', () => {
    expect(queryMessage(0x1234, 'A.example', 6).toString('hex')).toBe(
      ['123400000001000000000000', '0161076578616d706c6500', '00060001'].join(''),
    );
  });

  test('adds and deletes single TXT records (RFC 2136 sections 2.5.1 and 2.5.4)', () => {
    const bytes = updateMessage(1, 'z', [
      { kind: 'add', name: 'a.z', text: 'xy' },
      { kind: 'delete', name: 'a.z', text: 'xy' },
    ]);
    expect(bytes.toString('hex')).toBe(
      [
        '000128000001000000020000',
        '017a0000060001',
        '0161017a00001000010000003c0003027879',
        '0161017a00001000fe000000000003027879',
      ].join(''),
    );
  });

  test.each([
    ['a label that is too long', `${'a'.repeat(64)}.z`],
    ['a name that is too long', `${'abcdefgh.'.repeat(30)}z`],
  ])('is not written with %s', (_, name) => {
    expect(() => encodeName(name)).toThrow(/longer/);
  });

  test('is read with compressed names, and never followed forward or round in circles', () => {
    const answer = Buffer.from(
      '00018400000100000001000001610162 00000600 01 c00c 0006 0001 00000001 0000'.replaceAll(' ', ''),
      'hex',
    );
    const { authorities, code } = readMessage(answer);
    expect(code).toBe('NOERROR');
    expect(authorities.map(({ name, type }) => [name, type])).toEqual([['a.b', 6]]);
    expect(() => readName(Buffer.from('c000', 'hex'), 0)).toThrow(/forward/);
    expect(() => readName(Buffer.from('0161c0030161c000', 'hex'), 0)).toThrow(/forward|early/);
  });

  test.each([
    ['0001'],
    ['000184000000ffff00000000'],
    ['000184000000000100000000'],
    ['0001840000000001000000000161000006000100000001ffff'],
  ])('that is cut short or lies about its length is not read: %s', (hex) => {
    expect(() => readMessage(Buffer.from(hex, 'hex'))).toThrow(/cannot be read/);
  });
});

describe('a signature', () => {
  const message = queryMessage(7, 'a.z', 6);

  test('digests the message and the variables of RFC 8945 section 4.3.3', () => {
    const { bytes, mac } = signMessage(message, key, now);
    const time = Buffer.alloc(6);
    time.writeUIntBE(now.getTime() / 1000, 0, 6);
    const name = Buffer.from('0474657374036b657900', 'hex');
    const algorithm = Buffer.from('0b686d61632d73686132353600', 'hex');
    const rest = [time, Buffer.from('012c', 'hex'), Buffer.from('00000000', 'hex')];
    const variables = Buffer.concat([name, Buffer.from('00ff00000000', 'hex'), algorithm, ...rest]);
    const expected = createHmac('sha256', key.secret).update(message).update(variables).digest();
    expect(mac.equals(expected)).toBe(true);
    expect(bytes.readUInt16BE(10)).toBe(1);
    expect(readMessage(bytes).additionals[0]).toMatchObject({ name: 'test.key', type: 250, class: 255, ttl: 0 });
  });

  /** An answer to a request with that MAC, signed as a server does. */
  function answered(requestMac: Buffer, signer: TsigKey, at: Date): Buffer {
    const answer = Buffer.from(message);
    answer.writeUInt16BE(0x8400, 2);
    // The server's digest begins with the request's MAC: made here by signing a longer message and taking its MAC.
    const prefix = Buffer.alloc(2);
    prefix.writeUInt16BE(requestMac.length);
    const { bytes } = signMessage(answer, signer, at);
    const { mac } = signMessage(Buffer.concat([prefix, requestMac, answer]), signer, at);
    const { mac: plain } = signMessage(answer, signer, at);
    const place = bytes.indexOf(plain);
    mac.copy(bytes, place);
    return bytes;
  }

  test('of an answer holds for its own request, key and time alone', () => {
    const { mac } = signMessage(message, key, now);
    const good = answered(mac, key, now);
    expect(() => verifyAnswer(good, key, mac, now)).not.toThrow();
    expect(() => verifyAnswer(good, key, Buffer.alloc(32), now)).toThrow(/does not fit/);
    expect(() => verifyAnswer(good, { ...key, secret: Buffer.alloc(32, 1) }, mac, now)).toThrow(/does not fit/);
    expect(() => verifyAnswer(good, { ...key, name: 'other' }, mac, now)).toThrow(/another key/);
    expect(() => verifyAnswer(good, key, mac, new Date(now.getTime() + 301_000))).toThrow(/clocks/);
    const changed = Buffer.from(good);
    changed.writeUInt8(0x85, 2);
    expect(() => verifyAnswer(changed, key, mac, now)).toThrow(/does not fit/);
    expect(() => verifyAnswer(message, key, mac, now)).toThrow(/not signed/);
  });
});

describe('a name server', () => {
  test.each<readonly [string, { readonly host: string; readonly port: number } | undefined]>([
    ['10.0.0.2:53', { host: '10.0.0.2', port: 53 }],
    ['ns.example.com', { host: 'ns.example.com', port: 53 }],
    ['[fd00::2]:5353', { host: 'fd00::2', port: 5353 }],
    ['fd00::2', undefined],
    ['host:0', undefined],
    ['host:70000', undefined],
    ['', undefined],
  ])('%p is %p', (text, server) => {
    expect(parseNameServer(text)).toEqual(server);
  });
});
