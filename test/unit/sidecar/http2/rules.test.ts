// What HTTP/2 does not allow, frame by frame and field by field (RFC 9113), and what no connection may have too much of.
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { errorCodes, flags, frameTypes, preface, settingIds } from '../../../../sidecar/http2/codes.ts';
import { Decoder } from '../../../../sidecar/http2/decoder.ts';
import { frame, numberFrame } from '../../../../sidecar/http2/encode.ts';
import { allowances } from '../../../../sidecar/http2/floods.ts';
import type { Judgement } from '../../../../sidecar/http2/requests.ts';
import { MAX_STREAMS } from '../../../../sidecar/http2/streams.ts';
import {
  type Came,
  credit,
  data,
  good,
  headers,
  PlayedGate,
  ping,
  reset,
  settings,
  settingsAck,
} from '../../../support/http2/raw.ts';
import { gateOptions } from '../../../support/http2/throughgate.ts';

const { protocolError, frameSizeError, streamClosed, compressionError, flowControlError, enhanceYourCalm } = errorCodes;
const end = flags.endStream;
const post = [':method: POST', ...good.slice(1)];
const denies: Judgement = { kind: 'deny', denial: { status: 403, reason: 'denied' } };

let played: PlayedGate | undefined;
const opened = (...of: Parameters<typeof PlayedGate.opened>): PlayedGate => (played = PlayedGate.opened(...of));
afterEach(() => {
  jest.useRealTimers();
  played?.gate.reset();
});

function fieldsOf({ payload }: Came): readonly string[] {
  const decoder = new Decoder({ octets: 1e6, fields: 1e3 });
  expect(decoder.decode(payload, 0, payload.length)).toBe(true);
  return decoder.fields.map(({ name, value }) => `${name}: ${value}`);
}

describe('a connection ends with GOAWAY for', () => {
  test.each<[string, readonly Buffer[], string, number]>([
    ['DATA on stream 0', [data(0, 1)], 'wrong_stream', protocolError],
    ['DATA on a stream that nobody has opened', [data(1, 1)], 'wrong_stream', protocolError],
    ['DATA behind the end of a stream', [headers(1, good), data(1, 1)], 'after_end', streamClosed],
    ['HEADERS behind the end of a stream', [headers(1, good), headers(1, ['x: y'])], 'after_end', streamClosed],
    ['a stream with an even number', [headers(2, good)], 'wrong_stream', protocolError],
    ['HEADERS on stream 0', [headers(0, good)], 'wrong_stream', protocolError],
    ['RST_STREAM of a stream that nobody has opened', [reset(1)], 'wrong_stream', protocolError],
    [
      'RST_STREAM of another length',
      [headers(1, good), frame(3, { stream: 1 }, Buffer.alloc(3))],
      'bad_frame_length',
      frameSizeError,
    ],
    ['WINDOW_UPDATE of a stream that nobody has opened', [credit(1, 1)], 'wrong_stream', protocolError],
    ['WINDOW_UPDATE of another length', [frame(8, { stream: 0 }, Buffer.alloc(3))], 'bad_frame_length', frameSizeError],
    ['PRIORITY on stream 0', [frame(2, { stream: 0 }, Buffer.alloc(5))], 'wrong_stream', protocolError],
    ['PRIORITY of another length', [frame(2, { stream: 1 }, Buffer.alloc(4))], 'bad_frame_length', frameSizeError],
    ['PING on a stream', [frame(6, { stream: 1 }, Buffer.alloc(8))], 'wrong_stream', protocolError],
    ['PING of another length', [frame(6, { stream: 0 }, Buffer.alloc(7))], 'bad_frame_length', frameSizeError],
    ['SETTINGS on a stream', [frame(4, { stream: 1 })], 'wrong_stream', protocolError],
    ['SETTINGS of another length', [frame(4, { stream: 0 }, Buffer.alloc(5))], 'bad_frame_length', frameSizeError],
    [
      'an ACK of SETTINGS that says something',
      [frame(4, { stream: 0, flags: 1 }, Buffer.alloc(6))],
      'bad_frame_length',
      frameSizeError,
    ],
    ['ENABLE_PUSH that is no truth value', [settings([settingIds.enablePush, 2])], 'bad_setting', protocolError],
    [
      'a window beyond 2^31-1',
      [settings([settingIds.initialWindowSize, 2 ** 31])],
      'bad_initial_window',
      flowControlError,
    ],
    ['frames below 16,384 octets', [settings([settingIds.maxFrameSize, 16_383])], 'bad_setting', protocolError],
    ['frames beyond 2^24-1 octets', [settings([settingIds.maxFrameSize, 2 ** 24])], 'bad_setting', protocolError],
    ['GOAWAY on a stream', [frame(7, { stream: 1 }, Buffer.alloc(8))], 'wrong_stream', protocolError],
    [
      'PUSH_PROMISE of a client',
      [headers(1, good), frame(5, { stream: 1 }, Buffer.alloc(8))],
      'unasked_push',
      protocolError,
    ],
    ['a frame longer than was allowed', [headers(1, post, false), data(1, 16_385)], 'frame_too_large', frameSizeError],
    ['CONTINUATION out of nothing', [frame(9, { stream: 1, flags: 4 })], 'interrupted_block', protocolError],
    [
      'another frame inside a block',
      [frame(1, { stream: 1 }, Buffer.of(0x82)), ping],
      'interrupted_block',
      protocolError,
    ],
    [
      'CONTINUATION of another stream',
      [frame(1, { stream: 1 }, Buffer.of(0x82)), frame(9, { stream: 3, flags: 4 })],
      'interrupted_block',
      protocolError,
    ],
    ['a block that is none', [frame(1, { stream: 1, flags: 5 }, Buffer.of(0x80))], 'bad_compression', compressionError],
    [
      'more padding than there is room for',
      [headers(1, post, false), frame(0, { stream: 1, flags: 8 }, Buffer.of(5, 0, 0))],
      'bad_padding',
      protocolError,
    ],
    ['the same in HEADERS', [frame(1, { stream: 1, flags: 0xd }, Buffer.of(5, 0x82))], 'bad_padding', protocolError],
    [
      'HEADERS with priority and no room for it',
      [frame(1, { stream: 1, flags: 0x25 }, Buffer.of(0, 0))],
      'bad_padding',
      protocolError,
    ],
    [
      'trailers that do not end the stream',
      [headers(1, post, false), headers(1, ['x: y'], false)],
      'bad_trailers',
      protocolError,
    ],
    ['pseudo-headers in trailers', [headers(1, post, false), headers(1, [':path: /'])], 'bad_trailers', protocolError],
    [
      'framing in trailers',
      [headers(1, post, false), headers(1, ['content-length: 1'])],
      'bad_trailers',
      protocolError,
    ],
    [
      'a shorter body than was said',
      [headers(1, [...post, 'content-length: 5'], false), data(1, 4, end)],
      'body_differs_from_content_length',
      protocolError,
    ],
    [
      'a longer one',
      [headers(1, [...post, 'content-length: 5'], false), data(1, 6)],
      'body_differs_from_content_length',
      protocolError,
    ],
    [
      'trailers before all of it',
      [headers(1, [...post, 'content-length: 5'], false), headers(1, ['x: y'])],
      'body_differs_from_content_length',
      protocolError,
    ],
    [
      'a block beyond all measure',
      [headers(1, [...good, ...Array.from({ length: 3 }, (_, index) => `x-${index}: ${'y'.repeat(16_000)}`)])],
      'block_too_large',
      enhanceYourCalm,
    ],
    [
      'CONTINUATION without end (CVE-2024-27316 and others)',
      [frame(1, { stream: 1 }), ...Array.from({ length: 9 }, () => frame(9, { stream: 1 }))],
      'continuation_flood',
      enhanceYourCalm,
    ],
  ])('%s', (_, frames, rule, code) => {
    const { broken } = opened();
    played?.sends(...frames);
    expect(broken).toEqual([{ side: 'request', rule, reason: code === enhanceYourCalm ? 'overload' : 'malformed' }]);
    expect(played?.goaway).toBe(code);
    expect(played?.told).toEqual(['ended']);
    expect(played?.application.calls).toContain('reset');
    // Nothing after it is read.
    played?.sends(headers(99, good));
    expect(played?.passed.some(({ stream }) => stream === 99)).toBe(false);
  });

  test.each([
    ['another preface', [Buffer.from('PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n')]],
    ['something else than SETTINGS behind it', [preface, ping]],
    ['an ACK instead of SETTINGS', [preface, settingsAck]],
  ])('%s, with SETTINGS of its own before it', (_, octets) => {
    played = new PlayedGate();
    played.sends(...octets);
    expect(played.came.map(({ type }) => type)).toEqual([frameTypes.settings, frameTypes.goaway]);
    expect(played.broken).toMatchObject([{ rule: 'bad_preface' }]);
  });

  test("what the application does wrong, as an error that is not the client's", () => {
    for (const wrong of [
      headers(1, ['x: y'], false),
      headers(1, [':status: 20']),
      frame(5, { stream: 1 }, Buffer.alloc(8)),
    ]) {
      opened().sends(headers(1, good));
      played?.says(wrong);
      expect(played?.goaway).toBe(errorCodes.internalError);
      expect(played?.broken).toMatchObject([{ side: 'response', reason: 'malformed' }]);
    }
  });
});

describe('a stream is reset for', () => {
  const [method, scheme, path, authority] = good;
  test.each<[string, readonly string[], string]>([
    ['capital letters in a name', [...good, 'X-A: b'], 'uppercase_field_name'],
    ['a blank in a name', [...good, 'x a: b'], 'bad_field_name'],
    ['an empty name', [...good, ': b'], 'bad_pseudo_field'],
    ['a line feed in a value', [...good, 'x: b\nc'], 'bad_field_value'],
    ['a zero in a value', [...good, 'x: b\0'], 'bad_field_value'],
    ['a blank behind a value', [...good, 'x: b '], 'bad_field_value'],
    ['a field that names itself another way', [...good, 'x_y: z'], 'underscore_in_field_name'],
    ['Connection', [...good, 'connection: close'], 'connection_field'],
    ['Transfer-Encoding', [...good, 'transfer-encoding: chunked'], 'connection_field'],
    ['Upgrade', [...good, 'upgrade: h2c'], 'connection_field'],
    ['TE beyond trailers', [...good, 'te: gzip'], 'bad_te'],
    ['no method', [scheme, path, authority], 'bad_pseudo_field'],
    ['no scheme', [method, path, authority], 'bad_pseudo_field'],
    ['no path', [method, scheme, authority], 'bad_pseudo_field'],
    ['two methods', [method, ...good], 'bad_pseudo_field'],
    ['a status', [...good, ':status: 200'], 'bad_pseudo_field'],
    ['a pseudo-header that nobody knows', [...good, ':x: y'], 'bad_pseudo_field'],
    ['a pseudo-header behind a field', [method, scheme, authority, 'x: y', path], 'bad_pseudo_field'],
    ['a method of other octets', [':method: G T', scheme, path, authority], 'bad_method'],
    ['another scheme', [method, ':scheme: ftp', path, authority], 'bad_scheme'],
    ['an empty path', [method, scheme, ':path: ', authority], 'bad_target'],
    ['a path that is a whole URL', [method, scheme, ':path: http://web/', authority], 'bad_target'],
    ['a fragment', [method, scheme, ':path: /#x', authority], 'bad_target'],
    ['a backslash', [method, scheme, ':path: /\\x', authority], 'bad_target'],
    ['an asterisk for what is not OPTIONS', [method, scheme, ':path: *', authority], 'bad_target'],
    ['no host at all', [method, scheme, path], 'missing_host'],
    ['two Hosts', [method, scheme, path, 'host: a', 'host: a'], 'repeated_host'],
    ['a Host that says something else', [...good, 'host: other'], 'host_differs_from_target'],
    ['user information', [method, scheme, path, ':authority: me@web'], 'bad_host'],
    ['a length that is no number', [...good, 'content-length: +1'], 'bad_content_length'],
    ['two lengths', [...good, 'content-length: 0', 'content-length: 0'], 'repeated_content_length'],
    ['a length of a body that does not come', [...good, 'content-length: 1'], 'bad_content_length'],
    ['CONNECT with a path', [':method: CONNECT', path, ':authority: web:1'], 'bad_pseudo_field'],
    ['CONNECT to no port', [':method: CONNECT', ':authority: web'], 'bad_target'],
    [
      'extended CONNECT that nobody has allowed',
      [':method: CONNECT', ':protocol: websocket', scheme, path, authority],
      'bad_pseudo_field',
    ],
    [
      'more octets than anybody needs',
      [...good, `x: ${'y'.repeat(20_000)}`, 'z: z'.padEnd(12_700, 'z')],
      'head_too_large',
    ],
    [
      'more fields than anybody needs',
      [...good, ...Array.from({ length: 100 }, (_, index) => `x-${index}: y`)],
      'too_many_fields',
    ],
  ])('%s, and the connection goes on', (_, texts, rule) => {
    opened().sends(headers(1, texts), headers(3, good));
    expect(played?.broken).toEqual([{ side: 'request', rule, reason: 'malformed' }]);
    const own = played?.came.filter(({ stream }) => stream === 1) ?? [];
    const isTooLarge = rule === 'head_too_large' || rule === 'too_many_fields';
    if (isTooLarge) expect(fieldsOf(own[0] as Came)[0]).toBe(':status: 431');
    else expect(own.map(({ type, payload }) => [type, payload.readUInt32BE(0)])).toEqual([[3, protocolError]]);
    expect(played?.passed.map(({ stream }) => stream)).toEqual([3]);
    expect(played?.goaway).toBeUndefined();
  });

  test('one stream too many, which may be tried again', () => {
    const full = opened();
    for (let index = 0; index <= MAX_STREAMS; index += 1) full.sends(headers(2 * index + 1, good));
    expect(played?.passed).toHaveLength(MAX_STREAMS);
    expect(played?.came.map(({ type, stream, payload }) => [type, stream, payload.readUInt32BE(0)])).toEqual([
      [3, 2 * MAX_STREAMS + 1, errorCodes.refusedStream],
    ]);
  });

  test.each([
    ['metadata of gRPC with an underscore', [...post, 'content-type: application/grpc', 'x_y: z']],
    ['a Host that says the same', [...good, 'host: WEB']],
    ['Host alone', [...good.slice(0, 3), 'host: web']],
    ['OPTIONS for everything', [':method: OPTIONS', ':scheme: https', ':path: *', ':authority: web:443']],
    ['CONNECT', [':method: CONNECT', ':authority: web:443']],
    ['TE: trailers', [...good, 'te: trailers']],
    ['an IPv6 address', [...good.slice(0, 3), ':authority: [::1]:80']],
  ])('nothing: %s passes', (_, texts) => {
    opened().sends(headers(1, texts));
    expect(played?.broken).toEqual([]);
    expect(played?.passed).toHaveLength(1);
  });

  test.each([
    ['x_y: z', []],
    ['client_cert: z', ['underscore_in_field_name']],
    ['x-forwarded_client_cert: z', ['underscore_in_field_name']],
  ])(
    'of names with underscores, where the policy lets them pass, those behind which nothing hides: %s',
    (line, rules) => {
      opened({ limits: { ...gateOptions.limits, refuseUnderscores: 'disguised' } }).sends(headers(1, [...good, line]));
      expect(played?.broken.map(({ rule }) => rule)).toEqual(rules);
    },
  );

  test('extended CONNECT passes where the application has allowed it (RFC 8441)', () => {
    opened().says(settings([settingIds.enableConnectProtocol, 1]));
    played?.sends(headers(1, [':method: CONNECT', ':protocol: websocket', ...good.slice(1)], false));
    expect(played?.passed).toHaveLength(1);
  });
});

test('requests that come at once are taken on eight in a turn of the event loop, in their order, and others are served in between', async () => {
  const busy = opened();
  const ids = Array.from({ length: 20 }, (_, index) => 2 * index + 1);
  expect(busy.sends(...ids.map((id) => headers(id, good)), ping)).toBe(false);
  const passed: number[] = [busy.passed.length];
  for (let turn = 0; turn < 2; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    passed.push(busy.passed.length);
  }
  expect(passed).toEqual([8, 16, 21]);
  expect(busy.passed.map(({ stream }) => stream)).toEqual([...ids, 0]);
  expect(busy.told).toEqual(['drained']);
});

describe('a flood ends the connection with ENHANCE_YOUR_CALM:', () => {
  const flood = (kind: keyof typeof allowances): number => allowances[kind].most + 1;
  const empty = data(1, 0);
  test.each<[string, keyof typeof allowances, (index: number) => readonly Buffer[], readonly Buffer[]]>([
    [
      'streams that are opened and reset (CVE-2023-44487)',
      'reset_flood',
      (index) => [headers(2 * index + 1, good), reset(2 * index + 1)],
      [],
    ],
    ['requests that are malformed', 'reset_flood', (index) => [headers(2 * index + 1, ['x: y'])], []],
    ['SETTINGS', 'settings_flood', () => [settings(), settingsAck], []],
    ['PING', 'ping_flood', () => [ping], []],
    ['WINDOW_UPDATE', 'window_update_flood', () => [credit(0, 1)], []],
    ['PRIORITY', 'priority_flood', () => [frame(2, { stream: 1 }, Buffer.alloc(5))], []],
    ['empty DATA', 'empty_frame_flood', () => [empty], [headers(1, post, false)]],
    ['frames that nobody knows', 'unknown_frame_flood', () => [frame(0x77, { stream: 0 }, Buffer.alloc(3))], []],
  ])('%s', (_, kind, one, first) => {
    jest.useFakeTimers();
    const flooded = opened();
    flooded.sends(...first);
    for (let index = 0; index < flood(kind) && flooded.goaway === undefined; index += 1) flooded.sends(...one(index));
    expect(played?.goaway).toBe(enhanceYourCalm);
    expect(played?.broken.at(-1)).toEqual({ side: 'request', rule: kind, reason: 'overload' });
    jest.advanceTimersByTime(1_000);
    expect(played?.told).toEqual(['ended', 'closed overload']);
  });

  test('a tenth of it, where the gate is told that its client is known for floods', () => {
    const flooded = opened({ floodShare: 0.1 });
    for (let index = 0; index < 50; index += 1) flooded.sends(headers(2 * index + 1, good), reset(2 * index + 1));
    expect(flooded.goaway).toBeUndefined();
    for (let index = 50; index < 55; index += 1) flooded.sends(headers(2 * index + 1, good), reset(2 * index + 1));
    expect(flooded.broken.at(-1)?.rule).toBe('reset_flood');
  });

  test('streams that the application resets for what the client does (CVE-2025-8671)', () => {
    jest.useFakeTimers();
    const flooded = opened();
    for (let index = 0; index < flood('reset_flood') && flooded.goaway === undefined; index += 1) {
      flooded.sends(headers(2 * index + 1, good));
      flooded.says(numberFrame(3, 2 * index + 1, protocolError));
    }
    expect(played?.broken.at(-1)?.rule).toBe('reset_flood');
  });

  test('and nobody who uses the connection is held up: as much of it all beside exchanges that end', () => {
    jest.useFakeTimers();
    opened();
    for (let index = 0; index < 5_000; index += 1) {
      const [id, other] = [4 * index + 1, 4 * index + 3];
      played?.sends(
        headers(id, post, false),
        data(id, 100),
        data(id, 0, end),
        headers(other, good),
        reset(other),
        ping,
      );
      played?.says(headers(id, [':status: 200'], false), data(id, 100, end));
      played?.sends(credit(0, 100), credit(id, 100));
      played?.forget();
    }
    expect(played?.broken).toEqual([]);
  });
});

describe('what a gate remembers and owes', () => {
  test("a client that reads none of the gate's own answers is not read from, until it does", () => {
    opened({ judge: () => denies });
    played?.gate.pause();
    let index = 0;
    while (played?.sends(headers(2 * index + 1, good)) === true && index < 10_000) index += 1;
    expect(index).toBeGreaterThan(100);
    expect(index).toBeLessThan(2_000);
    played?.gate.resume();
    expect(played?.told).toEqual(['drained']);
  });

  test('a head that stops in the middle ends the connection after its time, but not while the client was told to wait', () => {
    jest.useFakeTimers();
    const half = headers(1, good).subarray(0, 12);
    opened().sends(half);
    jest.advanceTimersByTime(10_000);
    expect(played?.broken).toMatchObject([{ rule: 'head_timeout' }]);
    const waits = opened();
    waits.application.room = false;
    waits.sends(headers(1, post, false), half);
    jest.advanceTimersByTime(60_000);
    expect(waits.broken).toEqual([]);
  });

  test('its own frames stand between those of the application, never inside of one', () => {
    opened({ judge: ({ target }) => (target === '/no' ? denies : { kind: 'pass' }) }).sends(headers(1, good));
    const body = data(1, 1_000, end);
    played?.says(headers(1, [':status: 200'], false), body.subarray(0, 500));
    played?.sends(headers(3, [...good.slice(0, 2), ':path: /no', ':authority: web']));
    played?.says(body.subarray(500));
    expect(played?.came.map(({ type, stream }) => [type, stream])).toEqual([
      [1, 1],
      [0, 1],
      [1, 3],
    ]);
  });

  test('GOAWAY waits for the end of the frame that is under way', () => {
    opened().sends(headers(1, good));
    const body = data(1, 1_000, end);
    played?.says(headers(1, [':status: 200'], false), body.subarray(0, 500));
    played?.sends(data(0, 1));
    expect(played?.told).toEqual([]);
    played?.says(body.subarray(500), ping);
    expect(played?.came.map(({ type }) => type)).toEqual([1, 0, 7]);
    expect(played?.told).toEqual(['ended']);
  });

  test('SETTINGS say no more than the gate can hold, and that no push is wanted', () => {
    played = new PlayedGate();
    played.sends(preface, settings([settingIds.headerTableSize, 65_536]));
    played.says(settings([settingIds.maxConcurrentStreams, 1e6]));
    const said = ({ payload }: Came) =>
      Object.fromEntries(
        Array.from({ length: payload.length / 6 }, (_, at) => [
          payload.readUInt16BE(at * 6),
          payload.readUInt32BE(at * 6 + 2),
        ]),
      );
    played.application.got = played.application.got.slice(preface.length);
    expect(said(played.passed[0] as Came)).toEqual({
      [settingIds.headerTableSize]: 16_384,
      [settingIds.enablePush]: 0,
    });
    expect(said(played.came[0] as Came)).toEqual({
      [settingIds.maxConcurrentStreams]: 1_000,
      [settingIds.maxHeaderListSize]: 32_768,
    });
  });
});
