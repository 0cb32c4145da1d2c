// Clients that waste, as data: what each connection begins with, and what it does again and again. Rates are of all connections together, and bounded: on
// a machine with two cores neither who sends a flood nor the application that it is for may be what healthy clients wait for.
import { flags, frameTypes, preface } from '../../../sidecar/http2/codes.ts';
import { encodeLines, frame } from '../../../sidecar/http2/encode.ts';
import { credit, good, headers, lines, ping, reset, settings } from '../http2/raw.ts';

/** One kind of flood. */
export interface Flood {
  readonly name: string;
  readonly what: string;
  /** `silent`: TCP and no octet more. */
  readonly protocol: 'HTTP/1.1' | 'HTTP/2' | 'silent';
  readonly connections: number;
  /** Acts a second, of all connections together. */
  readonly rate: number;
  /** Connections that are opened a second in place of those that were ended. Each costs both sides a handshake, which is a flood of its own. */
  readonly opens: number;
  /** What a connection begins with. */
  readonly begin: Buffer;
  /** What its act of this number (0, 1 ..) is; an empty one ends the connection. */
  act(number: number): Buffer;
  /** It reads what it is answered. */
  readonly reads: boolean;
}

const text = (octets: string): Buffer => Buffer.from(octets, 'latin1');
const nothing = Buffer.alloc(0);
const host = 'Host: web\r\n';
const post = `POST /slow HTTP/1.1\r\n${host}`;
const times = (count: number, octets: Buffer): Buffer => Buffer.concat(Array.from({ length: count }, () => octets));

const http1 = (
  name: string,
  what: string,
  rest: Partial<Flood> & Pick<Flood, 'connections' | 'rate' | 'act'>,
): Flood => ({
  name,
  what,
  protocol: 'HTTP/1.1',
  opens: 5,
  begin: nothing,
  reads: true,
  ...rest,
});

const http2 = (name: string, what: string, rest: Partial<Flood> & Pick<Flood, 'rate' | 'act'>): Flood => ({
  name,
  what,
  protocol: 'HTTP/2',
  connections: 4,
  opens: 5,
  begin: Buffer.concat([preface, settings()]),
  reads: true,
  ...rest,
});

const streamOf = (number: number): number => 2 * number + 1;
const postLines = [':method: POST', ...good.slice(1)];
/** A value of 4,000 octets that goes into the table, and then stands for itself as an octet. */
const bomb = (stream: number): Buffer => {
  const literal = encodeLines(lines(...good));
  const value = text('v'.repeat(4_000));
  // RFC 7541 section 6.2.1: a literal that is remembered, its name `x`, its length in two octets of continuation.
  const remembered = Buffer.concat([Buffer.of(0x40, 1), text('x'), Buffer.of(0x7f, 0xa1, 0x1e), value]);
  const block = Buffer.concat([literal, remembered, Buffer.alloc(4_000, 0xbe)]);
  return frame(frameTypes.headers, { stream, flags: flags.endStream | flags.endHeaders }, block);
};

/** All of them. */
export const floods: readonly Flood[] = [
  http1('slow heads', 'an octet of a head every half second each, ended after ten', {
    connections: 200,
    rate: 400,
    begin: text(`GET / HTTP/1.1\r\n${host}X: `),
    act: () => text('x'),
  }),
  http1('crumbs of heads', 'heads of 30 KB that go on octet by octet, 1,000 a second', {
    connections: 20,
    rate: 1_000,
    begin: text(`GET / HTTP/1.1\r\n${host}X: ${'v'.repeat(30_000)}`),
    act: () => text('x'),
  }),
  http1('slow bodies', 'an octet of a counted body every half second each', {
    connections: 200,
    rate: 400,
    begin: text(`${post}Content-Length: 1000000\r\n\r\n`),
    act: () => text('x'),
  }),
  http1('crumbs', 'bodies in chunks of one octet, 5,000 chunks a second', {
    connections: 20,
    rate: 50,
    begin: text(`${post}Transfer-Encoding: chunked\r\n\r\n`),
    act: () => times(100, text('1\r\nx\r\n')),
  }),
  http1('large heads', 'heads of 31 KB in 97 fields, just within the limits, 60 a second', {
    connections: 20,
    rate: 60,
    act: () => text(`GET / HTTP/1.1\r\n${host}${`X-Field: ${'v'.repeat(310)}\r\n`.repeat(97)}\r\n`),
  }),
  http1('header bombs', 'a thousand fields, five a second', {
    connections: 10,
    rate: 5,
    act: () => text(`GET / HTTP/1.1\r\n${host}${'a: b\r\n'.repeat(1_000)}\r\n`),
  }),
  http1('requests in advance', 'fifty requests at once, eight times a second', {
    connections: 10,
    rate: 8,
    act: () => text(`GET / HTTP/1.1\r\n${host}\r\n`.repeat(50)),
  }),
  http1('answers that nobody reads', '4 MB twenty times over', {
    connections: 40,
    rate: 0,
    begin: text(`GET /bulk/4194304 HTTP/1.1\r\n${host}\r\n`.repeat(20)),
    act: () => nothing,
    reads: false,
  }),
  http1('handshakes', 'a connection for one request, twenty a second', {
    connections: 10,
    rate: 20,
    opens: 20,
    begin: text(`GET / HTTP/1.1\r\n${host}\r\n`),
    act: () => nothing,
  }),
  http1('silent connections', 'connections without an octet', {
    protocol: 'silent',
    connections: 300,
    rate: 0,
    act: () => nothing,
  }),
  http2('rapid reset', 'streams that end before their answer, 2,000 a second (CVE-2023-44487)', {
    rate: 80,
    act: (number) =>
      Buffer.concat(
        Array.from({ length: 25 }, (_, index) => {
          const stream = streamOf(number * 25 + index);
          return Buffer.concat([headers(stream, good), reset(stream)]);
        }),
      ),
  }),
  http2('CONTINUATION', 'header blocks that go on in a hundred frames, 20 a second (CVE-2024-27316)', {
    rate: 20,
    act: (number) => {
      const stream = streamOf(number);
      const begun = frame(frameTypes.headers, { stream, flags: flags.endStream }, encodeLines(lines(...good)));
      return Buffer.concat([begun, times(100, frame(frameTypes.continuation, { stream }, Buffer.of(0)))]);
    },
  }),
  http2('SETTINGS', '2,000 a second', { rate: 100, act: () => times(20, settings()) }),
  http2('PING', '5,000 a second', { rate: 100, act: () => times(50, ping) }),
  http2('WINDOW_UPDATE', '5,000 a second', { rate: 100, act: () => times(50, credit(0, 1)) }),
  http2('empty DATA', '2,000 a second', {
    rate: 100,
    begin: Buffer.concat([preface, settings(), headers(1, postLines, false)]),
    act: () => times(20, frame(frameTypes.data, { stream: 1 }, nothing)),
  }),
  http2('header bombs of HPACK', 'blocks of 8 KB that stand for 16 MB, 40 a second', {
    rate: 40,
    act: (number) => bomb(streamOf(number)),
  }),
];
