// HPACK: the examples of RFC 7541 appendix C, what a decoder must refuse, and what an encoder that is not ours makes of it.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Decoder, MAX_BLOCK } from '../../../../sidecar/http2/decoder.ts';
import { encodeLines } from '../../../../sidecar/http2/encode.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const limits = { octets: 32_768, fields: 100 };
const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

function lines(decoder: Decoder, block: Buffer): readonly string[] | undefined {
  return decoder.decode(block, 0, block.length)
    ? decoder.fields.map(({ name, value }) => `${name}: ${value}`)
    : undefined;
}

const requests = [
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com', 'cache-control: no-cache'],
  [':method: GET', ':scheme: https', ':path: /index.html', ':authority: www.example.com', 'custom-key: custom-value'],
];
const responses = [
  [
    ':status: 302',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 307',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ],
  [
    ':status: 200',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:22 GMT',
    'location: https://www.example.com',
    'content-encoding: gzip',
    'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
  ],
];

describe('the examples of RFC 7541 appendix C', () => {
  test.each([
    ['C.2.1', '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', 'custom-key: custom-header', false],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', ':path: /sample/path', false],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', 'password: secret', true],
    ['C.2.4', '82', ':method: GET', false],
  ])('%s, one line', (_, hex, line, secret) => {
    const decoder = new Decoder(limits);
    expect(lines(decoder, bytes(hex))).toEqual([line]);
    expect(decoder.fields[0]?.secret).toBe(secret);
  });

  test.each([
    [
      'C.3, requests as they are',
      requests,
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ],
    ],
    [
      'C.4, requests by Huffman',
      requests,
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ],
    ],
  ])('%s', (_, wanted, blocks) => {
    const decoder = new Decoder(limits);
    expect(blocks.map((block) => lines(decoder, bytes(block)))).toEqual(wanted);
  });

  test.each([
    [
      'C.5, answers in a table of 256 octets, as they are',
      [
        '3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '4803 3330 37c1 c0bf',
        '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
      ],
    ],
    [
      'C.6, answers in a table of 256 octets, by Huffman',
      [
        '3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
        '4883 640e ffc1 c0bf',
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
      ],
    ],
  ])('%s', (_, blocks) => {
    const decoder = new Decoder(limits);
    expect(blocks.map((block) => lines(decoder, bytes(block)))).toEqual(responses);
  });
});

describe('a decoder refuses', () => {
  test.each([
    ['index 0', '80'],
    ['an index that nobody has filled', 'be'],
    ['a name whose index nobody has filled', '7e 01 61'],
    ['an index that is cut short', 'ff'],
    ['an integer beyond all measure', 'ff ff ff ff ff ff ff ff ff 7f'],
    ['an integer that never ends', `ff${'80'.repeat(20)}00`],
    ['a string that is cut short', '40 05 61 62'],
    ['a literal without a value', '40 01 61'],
    ['a table larger than was allowed (section 4.2)', '3f e2 1f'],
    ['a size of the table behind a line (section 4.2)', '82 20'],
    ['padding of a code that is longer than seven bits (section 5.2)', '00 01 61 82 1f ff'],
    ['padding of a code with a zero in it', '00 01 61 81 18'],
    ['EOS in a code', '00 01 61 84 ff ff ff ff'],
  ])('%s', (_, hex) => {
    expect(lines(new Decoder(limits), bytes(hex))).toBeUndefined();
  });

  test('a table that has become too small for what it is asked for', () => {
    const decoder = new Decoder(limits);
    expect(lines(decoder, bytes('40 01 61 01 62'))).toEqual(['a: b']);
    decoder.allow(0);
    expect(lines(decoder, bytes('be'))).toBeUndefined();
  });
});

describe('the dynamic table', () => {
  test('gives its oldest lines up for new ones, and all of them for one that is larger than itself (section 4.4)', () => {
    const decoder = new Decoder(limits);
    const line = (name: string, length: number): Buffer =>
      Buffer.concat([
        bytes('40 01'),
        Buffer.from(name),
        bytes('7f'),
        sevenBits(length - 127),
        Buffer.alloc(length, 0x78),
      ]);
    for (const name of ['a', 'b', 'c', 'd']) lines(decoder, line(name, 1_100));
    // 4 times 1,133 octets are more than 4,096.
    expect(lines(decoder, bytes('be'))?.[0]?.slice(0, 2)).toBe('d:');
    expect(lines(decoder, bytes('c0'))?.[0]?.slice(0, 2)).toBe('b:');
    expect(lines(decoder, bytes('c1'))).toBeUndefined();
    const other = new Decoder(limits);
    lines(other, line('a', 100 + 127));
    lines(other, line('b', 5_000));
    expect(lines(other, bytes('be'))).toBeUndefined();
  });

  test('holds many small lines in their order while it grows and turns', () => {
    const decoder = new Decoder(limits);
    for (let index = 0; index < 1_000; index += 1) {
      const name = String(index).padStart(4, '0');
      lines(decoder, Buffer.concat([bytes('40 04'), Buffer.from(name), bytes('00')]));
    }
    // 36 octets each.
    for (let index = 0; index < Math.floor(4_096 / 36); index += 1) {
      const at = 62 + index;
      const block = at < 127 ? Buffer.of(0x80 | at) : Buffer.concat([Buffer.of(0xff), sevenBits(at - 127)]);
      expect(lines(decoder, block)).toEqual([`${String(999 - index).padStart(4, '0')}: `]);
    }
  });
});

/** An integer's octets behind its prefix. */
function sevenBits(value: number): Buffer {
  const octets: number[] = [];
  let left = value;
  for (; left >= 128; left >>= 7) octets.push(0x80 | (left & 0x7f));
  return Buffer.of(...octets, left);
}

describe('a header bomb', () => {
  test('is read to its end, and keeps no more than the limits', () => {
    const decoder = new Decoder(limits);
    const value = Buffer.alloc(3_900, 0x78);
    const first = Buffer.concat([bytes('40 01 61 7f'), sevenBits(value.length - 127), value]);
    expect(decoder.decode(first, 0, first.length)).toBe(true);
    const bomb = Buffer.alloc(MAX_BLOCK, 0xbe);
    expect(decoder.decode(bomb, 0, bomb.length)).toBe(true);
    expect(decoder.overflow).toBe('octets');
    expect(decoder.fields.length).toBeLessThanOrEqual(8);
    expect(lines(decoder, bytes('be'))?.[0]).toHaveLength(3_903);
  });
});

test(
  'what the stateless encoder writes comes out of the decoder as it went in, secrets marked as such, and leaves nothing in its table',
  () => {
    const text = fc.string({
      unit: fc.integer({ min: 0x21, max: 0xff }).map((code) => String.fromCharCode(code)),
      maxLength: 300,
    });
    const name = fc.oneof(
      fc.constantFrom(':path', ':method', 'cookie', 'content-type'),
      text.map((each) => each.toLowerCase()),
    );
    const line = fc.record({ name, value: fc.oneof(fc.constantFrom('GET', '/', ''), text), secret: fc.boolean() });
    fc.assert(
      fc.property(fc.array(line, { maxLength: 20 }), (list) => {
        const decoder = new Decoder({ octets: 1e6, fields: 1e3 });
        const block = encodeLines(list);
        expect(decoder.decode(block, 0, block.length)).toBe(true);
        expect(decoder.fields.map(({ name, value, secret }) => ({ name, value, secret }))).toEqual(list);
        expect(lines(decoder, bytes('be'))).toBeUndefined();
      }),
      runs(300),
    );
  },
  runsTimeout(30_000),
);

test(
  'no octets that anybody makes up bring the decoder down',
  () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (blocks) => {
        const decoder = new Decoder(limits);
        for (const block of blocks) {
          const octets = Buffer.from(block);
          if (!decoder.decode(octets, 0, octets.length)) return;
          expect(decoder.fields.length).toBeLessThanOrEqual(limits.fields);
        }
      }),
      runs(2_000),
    );
  },
  runsTimeout(30_000),
);
