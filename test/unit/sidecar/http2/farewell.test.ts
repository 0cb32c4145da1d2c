// How a client is asked to go elsewhere (RFC 9113 section 6.8): what is said when, what becomes of streams that come late, and that no request
// of a client that keeps to the rules is lost.
import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { errorCodes, flags, frameTypes } from '../../../../sidecar/http2/codes.ts';
import { frame, goawayFrame } from '../../../../sidecar/http2/encode.ts';
import { Farewell } from '../../../../sidecar/http2/farewell.ts';
import { type Came, data, framesOf, good, headers, PlayedGate } from '../../../support/http2/raw.ts';
import { answerOf, exchange, type Through, throughGate } from '../../../support/http2/throughgate.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';

const ANY = 2 ** 31 - 1;
const end = flags.endStream;
const ok = (stream: number): Buffer => headers(stream, [':status: 200']);
const lastOf = ({ payload }: Pick<Came, 'payload'>): number => payload.readUInt32BE(0);
const codeOf = ({ payload }: Pick<Came, 'payload'>): number => payload.readUInt32BE(4);
const ofType = (frames: readonly Came[], type: number): readonly Came[] => frames.filter((each) => each.type === type);
const goaways = (frames: readonly Came[]) =>
  ofType(frames, frameTypes.goaway).map((each) => [lastOf(each), codeOf(each)]);
const ackOf = (payload: Uint8Array): Buffer => frame(frameTypes.ping, { stream: 0, flags: flags.ack }, payload);

let played: PlayedGate;
afterEach(() => played?.gate.reset());

/** A gate that has said its first GOAWAY; the client's answer to the PING behind it. */
function announced(...before: readonly Buffer[]): Buffer {
  played = PlayedGate.opened();
  played.sends(...before);
  played.gate.retire();
  const [ping] = ofType(played.came, frameTypes.ping);
  expect(ping).toBeDefined();
  return ackOf(ping?.payload ?? Buffer.alloc(8));
}

describe('a client is taken leave of', () => {
  test('with a GOAWAY that excludes no stream, and once it has answered the PING behind it with one that names the last', () => {
    const ack = announced(headers(1, good));
    expect(goaways(played.came)).toEqual([[ANY, errorCodes.noError]]);
    expect(played.gate.phase).toBe('busy');
    // What was under way goes through.
    played.sends(headers(3, good));
    played.forget();
    played.sends(ack);
    expect(goaways(played.came)).toEqual([[3, errorCodes.noError]]);
    expect(played.passed).toEqual([]);
    played.says(ok(1));
    expect(played.gate.phase).toBe('busy');
    played.says(ok(3));
    expect(played.gate.phase).toBe('over');
  });

  test('once, however often it is asked for', () => {
    const ack = announced(headers(1, good));
    for (let again = 0; again < 3; again += 1) played.gate.retire();
    played.sends(ack);
    for (let again = 0; again < 3; again += 1) played.gate.retire();
    expect(goaways(played.came)).toHaveLength(2);
  });

  test('so that a stream from behind the last GOAWAY is refused, unread, and may be asked for elsewhere', () => {
    played?.gate.reset();
    const ack = announced(headers(1, good));
    played.sends(ack);
    played.forget();
    played.sends(headers(3, [':method: POST', ...good.slice(1)], false), data(3, 10, end));
    expect(ofType(played.passed, frameTypes.headers)).toEqual([]);
    const [reset] = ofType(played.came, frameTypes.rstStream);
    expect([reset?.stream, reset?.payload.readUInt32BE(0)]).toEqual([3, errorCodes.refusedStream]);
    expect(played.broken).toEqual([]);
    // Whatever is said later excludes no fewer streams.
    played.sends(data(0, 1));
    expect(goaways(played.came)).toEqual([[1, errorCodes.protocolError]]);
  });

  test('and its answers to the PINGs of the application go on to where they belong', () => {
    announced(headers(1, good));
    const theirs = ackOf(Buffer.from('8 octets'));
    played.sends(theirs);
    expect(ofType(played.passed, frameTypes.ping)).toHaveLength(1);
    expect(goaways(played.came)).toHaveLength(1);
  });

  test('not before the application has said its SETTINGS, and never inside of a frame', () => {
    played = new PlayedGate();
    played.gate.retire();
    expect(played.came).toEqual([]);
    played = PlayedGate.opened();
    played.sends(headers(1, good));
    const body = Buffer.concat([headers(1, [':status: 200'], false), data(1, 100, end)]);
    played.says(body.subarray(0, body.length - 50));
    played.gate.retire();
    played.says(body.subarray(body.length - 50));
    expect(played.came.map(({ type }) => type)).toEqual([
      frameTypes.headers,
      frameTypes.data,
      frameTypes.goaway,
      frameTypes.ping,
    ]);
  });

  test('by the application, if that has begun before', () => {
    played = PlayedGate.opened();
    played.sends(headers(1, good));
    played.says(goawayFrame(1, errorCodes.noError, ''));
    played.gate.retire();
    expect(goaways(played.came)).toEqual([[1, errorCodes.noError]]);
    played.says(ok(1));
    expect(played.gate.phase).toBe('free');
  });

  test.each([
    ['excludes more streams, goes on as it is', 1, 1],
    ['excludes fewer, names the last one that was said', ANY, 3],
  ])("and the application's own GOAWAY behind it, where it %s", (_, said, heard) => {
    const ack = announced(headers(1, good), headers(3, good));
    played.sends(ack);
    played.forget();
    played.says(goawayFrame(said, errorCodes.enhanceYourCalm, 'too much'));
    expect(goaways(played.came)).toEqual([[heard, errorCodes.enhanceYourCalm]]);
  });

  test('also when it never answers the PING: a second later it is taken to have read', () => {
    let nowMs = 5_000;
    const farewell = new Farewell(() => nowMs);
    const first = farewell.next(7);
    nowMs += 999;
    expect([first === undefined, farewell.next(9), farewell.isFinal]).toEqual([false, undefined, false]);
    nowMs += 1;
    const last = framesOf(farewell.next(9) ?? Buffer.alloc(0));
    expect(goaways(last)).toEqual([[9, errorCodes.noError]]);
    expect([farewell.isFinal, farewell.takes(9), farewell.takes(11)]).toEqual([true, true, false]);
  });
});

describe("Node's client", () => {
  let through: Through | undefined;
  afterEach(() => through?.end());

  test('finishes what it has asked, opens nothing more, and loses nothing', async () => {
    const waiting: ServerHttp2Stream[] = [];
    through = throughGate((stream) => {
      stream.respond({ ':status': 200 });
      waiting.push(stream);
    });
    const { client, gate, broken } = through;
    const watched = client.request({ ':path': '/watch' });
    await once(watched, 'response');
    const told: number[] = [];
    client.on('goaway', (code) => void told.push(code));
    gate.retire();
    // Asked before the client can know.
    const late = answerOf(client.request({ ':path': '/late' }));
    while (told.length < 2) await once(client, 'goaway');
    expect(told).toEqual([0, 0]);
    expect(client.closed).toBe(true);
    expect((await exchange(client, { ':path': '/too-late' })).headers).toEqual({});
    const whole = answerOf(watched);
    for (const stream of waiting) stream.end('the end');
    const [one, other] = [await late, await whole];
    expect([one.body.toString(), one.code, other.body.toString(), other.code]).toEqual(['the end', 0, 'the end', 0]);
    expect(gate.phase).toBe('over');
    expect(broken).toEqual([]);
  });

  test(
    'is answered, or knows that nobody has read what it asked, whenever it is told and however octets are split',
    () =>
      fc.assert(
        fc.asyncProperty(fc.nat(12), fc.nat(12), fc.integer({ min: 1, max: 64 }), async (before, after, piece) => {
          const read: string[] = [];
          const linked = throughGate(
            (stream, headers) => {
              read.push(String(headers[':path']));
              stream.respond({ ':status': 200 });
              stream.end('answer');
            },
            { link: { split: (length) => Math.min(length, piece) } },
          );
          try {
            await once(linked.client, 'remoteSettings');
            const ask = (index: number) => exchange(linked.client, { ':path': `/${index}` });
            const early = Array.from({ length: before }, (_, index) => ask(index));
            linked.gate.retire();
            const late: ReturnType<typeof ask>[] = [];
            for (let index = before; index < before + after; index += 1) {
              late.push(ask(index));
              await new Promise((resolve) => setImmediate(resolve));
            }
            const answers = await Promise.all([...early, ...late]);
            const statuses = answers.map(({ headers }) => Number(headers[':status'] ?? 0));
            expect(statuses.slice(0, before)).toEqual(Array.from({ length: before }, () => 200));
            for (const [index, status] of statuses.entries()) expect(read.includes(`/${index}`)).toBe(status === 200);
          } finally {
            linked.end();
          }
        }),
        runs(40),
      ),
    runsTimeout(60_000),
  );
});
