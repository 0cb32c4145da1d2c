// The gate between a client and an application that both are written here: what each of them gets, at every split of what the other sends.
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { Exchange } from '../../../../sidecar/exchange.ts';
import { AnswerFields, RequestFields } from '../../../../sidecar/http1/edits.ts';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { type Broken, type GateOptions, Http1Gate } from '../../../../sidecar/http1/gate.ts';
import { forbidden } from '../../../../sidecar/http1/replies.ts';
import { lend, PlayedHalf } from '../../../support/http1/application.ts';

function gate(options: Partial<GateOptions> = {}) {
  const application = new PlayedHalf();
  const broken: Broken[] = [];
  const over: Omit<Exchange, 'ms'>[] = [];
  const client = { got: '', events: [] as string[], room: [] as boolean[] };
  const half = new Http1Gate(application, {
    limits: defaultHeadLimits,
    headTimeoutMs: 10_000,
    bodyTimeoutMs: 300_000,
    now: () => new Date('2026-11-22T09:08:07Z'),
    over: ({ ms: _ms, ...exchange }) => over.push(exchange),
    broken: (each) => broken.push(each),
    ...options,
  });
  half.start({
    data: (bytes) => {
      client.got += Buffer.from(bytes).toString('latin1');
    },
    ended: () => client.events.push('ended'),
    drained: () => client.events.push('drained'),
    closed: (reason) => client.events.push(`closed ${reason ?? 'in order'}`),
  });
  const says = (text: string, size = text.length): void => {
    for (let at = 0; at < text.length; at += size)
      lend(text.slice(at, at + size), (bytes) => client.room.push(half.write(bytes, true)));
  };
  return { half, application, client: { ...client, says, state: client }, broken, over };
}

const get = 'GET /a?b HTTP/1.1\r\nHost: web\r\nX-Odd:  kept as it is \r\n\r\n';
const post = 'POST /p HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nSum: 1\r\n\r\n';
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const hsts = new AnswerFields([{ name: 'Strict-Transport-Security', value: 'max-age=60' }]);

describe('a gate', () => {
  test('takes the offer of HTTP/2 in plaintext out of a request, behind which nobody would read, and no answer can take it up', () => {
    const { application, client, broken } = gate();
    const offer = 'Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: h2c\r\n';
    client.says(`GET / HTTP/1.1\r\n${offer}Host: web\r\n\r\n`);
    expect(application.got).toBe('GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: web\r\n\r\n');
    application.says('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
    expect(broken).toEqual([{ side: 'response', rule: 'unasked_response' }]);
  });

  test.each([1, 2, 3, 7, 50, 1_000])(
    'passes requests and answers on octet by octet as they are, in pieces of %d',
    (size) => {
      const { application, client, over, broken } = gate();
      for (const request of [get, post, get]) {
        application.got = '';
        client.state.got = '';
        client.says(request, size);
        expect(application.got).toBe(request);
        application.says(ok, size);
        expect(client.state.got).toBe(ok);
      }
      // Whoever is told to wait sends no more: not the rest of a head either.
      expect(client.state.room).not.toContain(false);
      expect(over.map(({ method, target, status }) => `${method} ${target} ${status}`)).toEqual([
        'GET /a?b 200',
        'POST /p 200',
        'GET /a?b 200',
      ]);
      expect(broken).toEqual([]);
    },
  );

  test.each([1, 5, 1_000])(
    'holds a request that came early until the answer before it is complete, in pieces of %d',
    (size) => {
      const { application, client, half } = gate();
      client.says(get + post + get, size);
      expect(application.got).toBe(get);
      expect(client.state.room.at(-1)).toBe(false);
      expect(half.queued).toBeGreaterThan(0);
      application.says(ok);
      expect(application.got).toBe(get + post);
      application.says(ok);
      expect(application.got).toBe(get + post + get);
      expect(client.state.events).toEqual(['drained']);
      expect(half.queued).toBe(0);
    },
  );

  test('passes interim answers and early answers on', () => {
    const { application, client, over } = gate();
    const [head, body] = ['PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n', 'body'];
    client.says(head);
    const interim = 'HTTP/1.1 100 Continue\r\n\r\n';
    application.says(interim + ok, 4);
    expect(client.state.got).toBe(interim + ok);
    expect(over).toEqual([]);
    client.says(body + get);
    expect(application.got).toBe(head + body + get);
    expect(over).toHaveLength(1);
  });

  test.each([
    ['HEAD', 'HEAD / HTTP/1.1\r\nHost: web\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n'],
    ['304', get, 'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n'],
    ['204', get, 'HTTP/1.1 204 No Content\r\n\r\n'],
  ])('does not wait for a body that %s does not have', (_, request, answer) => {
    const { application, client } = gate();
    client.says(request);
    application.says(answer);
    client.says(get);
    expect(application.got).toBe(request + get);
  });

  test.each([
    [
      'an upgrade',
      'GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n',
    ],
    ['CONNECT', 'CONNECT web:1 HTTP/1.1\r\nHost: web:1\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'],
  ])('lets everything through after %s, both ways, and half-close with it', (_, request, answer) => {
    const { application, client, half } = gate({ answerFields: hsts });
    client.says(`${request}first`);
    expect(application.got).toBe(request);
    application.says(`${answer}\0\x01`);
    expect(client.state.got).toBe(`${answer}\0\x01`);
    expect(application.got).toBe(`${request}first`);
    client.says('\0 not HTTP');
    expect(application.got).toBe(`${request}first\0 not HTTP`);
    half.end();
    application.events?.ended();
    expect(application.calls).toEqual(['end']);
    expect(client.state.events).toEqual(['drained', 'ended']);
  });

  test('ends the client with an answer that ends with the connection', () => {
    const { application, client, over } = gate();
    client.says(get);
    application.says('HTTP/1.1 200 OK\r\n\r\nuntil the end');
    expect(client.state.events).toEqual([]);
    application.events?.ended();
    expect(client.state.events).toEqual(['ended']);
    expect(over).toHaveLength(1);
  });

  test.each([
    ['the client', 'GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n', ok],
    ['the application', get, 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'],
    ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', ok],
  ])(
    'ends the connection after the exchange that %s wanted to be the last, and takes no more',
    (_, request, answer) => {
      const { application, client } = gate();
      client.says(request + get);
      application.says(answer);
      expect(client.state.got).toBe(answer);
      expect(client.state.events).toEqual(['ended']);
      client.says(get);
      expect(application.got).toBe(request);
      expect(application.calls).toEqual(['end']);
    },
  );

  test('answers what it was asked before the client ended its direction', () => {
    const { application, client, half } = gate();
    client.says(get);
    half.end();
    expect(application.calls).toEqual([]);
    application.says(ok);
    expect(client.state.got).toBe(ok);
    expect(application.calls).toEqual(['end']);
  });

  test('answers all that it was asked ahead before the client ended its direction', () => {
    const { application, client, half } = gate();
    client.says(get + get + get);
    half.end();
    for (let answered = 1; answered <= 3; answered += 1) {
      expect(application.calls).toEqual([]);
      expect(application.got).toBe(get.repeat(answered));
      application.says(ok);
    }
    expect(client.state.got).toBe(ok.repeat(3));
    expect(application.calls).toEqual(['end']);
  });

  test('answers what is whole and lets go of what is half there behind it', () => {
    const { application, client, half } = gate();
    client.says(`${get}GET / HTTP/1.1\r\nHos`);
    half.end();
    expect(application.calls).toEqual([]);
    application.says(ok);
    expect(client.state.got).toBe(ok);
    expect(application.got).toBe(get);
    expect(application.calls).toEqual(['reset']);
  });

  test.each([
    ['a head', 'GET / HTTP/1.1\r\nHos'],
    ['a body', 'POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\nabc'],
  ])('never ends %s that is half there as if it were whole', (_, text) => {
    const { application, client, half } = gate();
    client.says(text);
    half.end();
    expect(application.calls).toEqual(['reset']);
  });

  test('passes on that the application hung up, in order only between messages', () => {
    const quiet = gate();
    quiet.application.events?.ended();
    expect(quiet.client.state.events).toEqual(['ended']);
    const cut = gate();
    cut.client.says(get);
    cut.application.says('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel');
    cut.application.events?.ended();
    expect(cut.application.calls).toEqual(['reset']);
    cut.application.events?.closed('reset');
    expect(cut.client.state.events).toEqual(['closed reset']);
  });

  test('holds the client while the application takes no more', () => {
    const { application, client } = gate();
    application.room = false;
    client.says('POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\nabc');
    expect(client.state.room).toEqual([false]);
    application.room = true;
    application.events?.drained();
    expect(client.state.events).toEqual(['drained']);
    client.says('defghij');
    expect(client.state.room).toEqual([false, true]);
  });
});

describe('a message that breaks a rule', () => {
  test.each([1, 1_000])('is answered with 400 and the rule, and nothing behind it is read, in pieces of %d', (size) => {
    const { application, client, broken } = gate({ answerFields: hsts });
    client.says(get);
    application.says(ok);
    client.state.got = '';
    client.says(`GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${get}`, size);
    expect(application.got).toBe(get);
    expect(application.calls).toEqual(['reset']);
    expect(client.state.got).toBe(
      'HTTP/1.1 400 Bad Request\r\nDate: Sun, 22 Nov 2026 09:08:07 GMT\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 25\r\nCache-Control: no-store\r\n' +
        'X-Tabard-Reason: malformed\r\nConnection: close\r\nStrict-Transport-Security: max-age=60\r\n\r\nmalformed: repeated_host\n',
    );
    expect(client.state.events).toEqual(['ended']);
    expect(broken).toEqual([{ side: 'request', rule: 'repeated_host' }]);
  });

  test('is reported once the client has read the answer, and at the latest after a while', () => {
    jest.useFakeTimers();
    try {
      const patient = gate();
      patient.client.says('nonsense\r\n\r\n');
      patient.application.events?.closed('reset');
      expect(patient.client.state.events).toEqual(['ended']);
      patient.half.end();
      expect(patient.client.state.events).toEqual(['ended', 'closed malformed']);
      const stuck = gate();
      stuck.client.says('nonsense\r\n\r\n');
      jest.advanceTimersByTime(1_000);
      expect(stuck.client.state.events).toEqual(['ended', 'closed malformed']);
    } finally {
      jest.useRealTimers();
    }
  });

  test('behind the beginning of an answer cuts the connection: an answer would be taken for a part of it', () => {
    const { application, client } = gate();
    client.says('POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n');
    application.says('HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel');
    client.says('zz\r\n');
    expect(client.state.got).not.toContain('400');
    expect(client.state.events).toEqual(['closed malformed']);
    expect(application.calls).toEqual(['reset']);
  });

  test.each([
    ['repeated_content_length', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['bad_version', 'SSH-2.0-x\r\n\r\n'],
    ['unasked_response', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
  ])('of the application gives 502: %s', (rule, answer) => {
    const { application, client, broken } = gate();
    client.says(get);
    application.says(answer);
    expect(client.state.got).toContain('HTTP/1.1 502 Bad Gateway\r\n');
    expect(client.state.got).not.toContain(answer);
    expect(broken).toEqual([{ side: 'response', rule }]);
  });

  test.each([
    ['before anybody asked', '', ok],
    ['behind the answer that was asked for', get, ok + ok],
  ])('an answer %s is never taken for the next one', (_, asked, said) => {
    const { application, client, broken } = gate();
    client.says(asked);
    application.says(said);
    client.says(get);
    expect(broken).toEqual([{ side: 'response', rule: 'unasked_response' }]);
    expect(application.got).toBe(asked);
    expect(application.calls).toEqual(['reset']);
  });

  test('is a head that does not come to its end in time', () => {
    jest.useFakeTimers();
    try {
      const { application, client, broken } = gate({ headTimeoutMs: 5_000 });
      client.says(get);
      application.says(ok);
      jest.advanceTimersByTime(60_000);
      client.says('GET / HTTP/1.1\r\n');
      jest.advanceTimersByTime(3_000);
      client.says('Host: web\r\n');
      expect(broken).toEqual([]);
      jest.advanceTimersByTime(2_000);
      expect(broken).toEqual([{ side: 'request', rule: 'head_timeout' }]);
      expect(client.state.got).toContain('HTTP/1.1 408 Request Timeout');
    } finally {
      jest.useRealTimers();
    }
  });

  test('is a head that does not come to its end in size', () => {
    const { client, broken } = gate();
    client.says(`GET / HTTP/1.1\r\nX: ${'a'.repeat(40_000)}`, 1_000);
    expect(broken).toEqual([{ side: 'request', rule: 'head_too_large' }]);
  });
});

describe('a denied request', () => {
  const deny = { deny: ({ target }: { target: string }) => (target === '/no' ? forbidden('denied') : undefined) };
  const no = 'GET /no HTTP/1.1\r\nHost: web\r\n\r\n';

  test('is answered with 403 in its turn and never reaches the application; the connection goes on', () => {
    const { application, client, over } = gate(deny);
    client.says(get + no + get);
    expect(client.state.got).toBe('');
    application.says(ok);
    expect(client.state.got.startsWith(ok)).toBe(true);
    expect(client.state.got.slice(ok.length)).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n(?:[^\r]+\r\n)+\r\ndenied\n$/);
    expect(application.got).toBe(get + get);
    expect(over.map(({ target, status }) => `${target} ${status}`)).toEqual(['/a?b 200', '/no 403']);
  });

  test('with a body ends the connection, since the body is not waited for', () => {
    const { application, client } = gate(deny);
    client.says('POST /no HTTP/1.1\r\nHost: web\r\nContent-Length: 100\r\n\r\n');
    expect(client.state.got).toContain('Connection: close\r\n');
    expect(client.state.events).toEqual(['ended']);
    expect(application.got).toBe('');
    // What still comes is dropped, and not held: the client's end is waited for.
    client.says('x'.repeat(100));
    expect(client.state.room).toEqual([true, true]);
  });
});

describe('fields of the gate', () => {
  test.each([1, 9, 1_000])('go behind those of every final answer, in pieces of %d', (size) => {
    const { application, client } = gate({ answerFields: hsts });
    client.says(get);
    const interim = 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n';
    application.says(interim + ok, size);
    expect(client.state.got).toBe(
      `${interim}HTTP/1.1 200 OK\r\nContent-Length: 5\r\nStrict-Transport-Security: max-age=60\r\n\r\nhello`,
    );
  });

  test('do not come beside the application’s own', () => {
    const { application, client } = gate({ answerFields: hsts });
    client.says(get);
    const own = 'HTTP/1.1 200 OK\r\nstrict-transport-security: max-age=1\r\nContent-Length: 0\r\n\r\n';
    application.says(own);
    expect(client.state.got).toBe(own);
  });

  test('come before a body of many octets, which is not copied', () => {
    const { application, client } = gate({ answerFields: hsts });
    client.says(get);
    application.says(`HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n${'b'.repeat(40_000)}`);
    expect(client.state.got).toHaveLength(
      'HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n'.length + hsts.all.length + 40_000,
    );
  });
});

describe('fields of requests', () => {
  const removed = ['client-cert', 'client-cert-chain', 'x-forwarded-client-cert'];
  const proved = [{ name: 'Client-Cert', value: ':AAAA:' }];
  const forged =
    'GET / HTTP/1.1\r\nclient-CERT: :BBBB:\r\nHost: web\r\nX-Forwarded-Client-Cert: By=x\r\nClient-Cert: a\r\nA: b\r\n\r\n';

  test.each([1, 9, 1_000])('that nobody but the gate may say are taken out, in pieces of %d', (size) => {
    const { application, client } = gate({ requestFields: new RequestFields({ removed, proved: [] }) });
    client.says(forged + get, size);
    expect(application.got).toBe('GET / HTTP/1.1\r\nHost: web\r\nA: b\r\n\r\n');
    application.got = '';
    application.says(ok);
    expect(application.got).toBe(get);
  });

  test.each([1, 9, 1_000])('that the client has proved come behind the others, in pieces of %d', (size) => {
    const { application, client, over } = gate({ requestFields: new RequestFields({ removed, proved }) });
    client.says(forged, size);
    expect(application.got).toBe('GET / HTTP/1.1\r\nHost: web\r\nA: b\r\nClient-Cert: :AAAA:\r\n\r\n');
    application.says(ok);
    application.got = '';
    client.says(post, size);
    expect(application.got).toBe(post.replace('\r\n\r\n', '\r\nClient-Cert: :AAAA:\r\n\r\n'));
    // The log tells what came, not what went on.
    expect(over[0]).toMatchObject({ bytesIn: forged.length, bytesOut: ok.length });
  });

  test.each([
    [
      'by Connection',
      'GET / HTTP/1.1\r\nHost: web\r\nConnection: close, Client-Cert\r\n\r\n',
      'protected_field_in_connection',
    ],
    ['in trailers', post.replace('Sum', 'X-Forwarded-Client-Cert'), 'framing_field_in_trailers'],
  ])('are neither lost nor smuggled %s', (_, request, rule) => {
    const { client, broken } = gate({ requestFields: new RequestFields({ removed, proved }) });
    client.says(request);
    expect(broken).toEqual([{ side: 'request', rule }]);
  });
});

describe('what is told of an exchange', () => {
  const traced = (value: string) => `GET /t HTTP/1.1\r\nHost: web\r\nTraceParent: ${value}\r\n\r\n`;
  const [traceId, spanId] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];

  test('are its octets both ways, its version, its trace', () => {
    const { application, client, over } = gate();
    const request = traced(` 00-${traceId}-${spanId}-01 `);
    client.says(request, 7);
    expect(application.got).toBe(request);
    application.says('HTTP/1.1 103 Early Hints\r\n\r\n');
    application.says(ok);
    expect(over).toEqual([
      {
        method: 'GET',
        target: '/t',
        host: 'web',
        version: '1.1',
        status: 200,
        reason: undefined,
        bytesIn: request.length,
        bytesOut: 28 + ok.length,
        trace: { traceId, spanId },
      },
    ]);
  });

  test.each([
    `00-${traceId}-${spanId}`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `ff-${traceId}-${spanId}-01`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${spanId}-01\r\nTraceparent: 00-${traceId}-${spanId}-00`,
    '"},{"x":"',
  ])('is no trace where traceparent is %s, which passes all the same', (value) => {
    const { application, client, over } = gate();
    client.says(traced(value));
    expect(application.got).toBe(traced(value));
    application.says(ok);
    expect(over[0]?.trace).toBeUndefined();
  });

  test.each<[string, (each: ReturnType<typeof gate>) => void, number, string]>([
    ['the client goes', ({ half }) => half.reset(), 0, 'reset'],
    ['the client is revoked', ({ half }) => half.reset('revoked'), 0, 'revoked'],
    ['the application hangs up without a word', ({ application }) => application.events?.ended(), 0, 'reset'],
    ['the application is gone', ({ application }) => application.events?.closed('reset'), 0, 'reset'],
    [
      'the answer stops in the middle',
      ({ application, half }) => {
        application.says('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel');
        half.reset();
      },
      200,
      'reset',
    ],
    ['the answer is malformed', ({ application }) => application.says('HTTP/2 200\r\n\r\n'), 502, 'malformed'],
  ])('is told once when %s', (_, happens, status, reason) => {
    const each = gate();
    each.client.says(get);
    happens(each);
    each.half.destroy();
    expect(each.over).toHaveLength(1);
    expect(each.over[0]).toMatchObject({ target: '/a?b', status, reason });
  });
});

describe('patience', () => {
  const begun = 'POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 10\r\n\r\nabc';

  function late(text: string, options: Partial<GateOptions> = {}) {
    jest.useFakeTimers();
    const each = gate({ bodyTimeoutMs: 60_000, ...options });
    each.client.says(text);
    return each;
  }
  afterEach(() => void jest.useRealTimers());

  test('with a body ends where no octet comes for too long; the application is let go', () => {
    const { application, client, broken, over } = late(begun);
    jest.advanceTimersByTime(59_000);
    client.says('d');
    jest.advanceTimersByTime(59_000);
    expect(broken).toEqual([]);
    jest.advanceTimersByTime(1_001);
    expect(broken).toEqual([{ side: 'request', rule: 'body_timeout' }]);
    expect(client.state.got).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(over).toMatchObject([{ status: 408, reason: 'malformed' }]);
    expect(application.calls).toEqual(['reset']);
  });

  test('is not lost with a client that is held back, or that waits for 100 (Continue)', () => {
    const held = late('');
    held.application.room = false;
    held.client.says(begun);
    jest.advanceTimersByTime(600_000);
    expect(held.broken).toEqual([]);
    const waiting = late('PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
    jest.advanceTimersByTime(600_000);
    expect(waiting.broken).toEqual([]);
  });

  test('with half a head ends at its time, however often an octet comes', () => {
    const { client, broken } = late('GET / HT', { headTimeoutMs: 10_000 });
    for (let second = 0; second < 9; second += 1) {
      jest.advanceTimersByTime(1_000);
      client.says('x');
    }
    expect(broken).toEqual([]);
    jest.advanceTimersByTime(1_001);
    expect(broken).toEqual([{ side: 'request', rule: 'head_timeout' }]);
  });

  test('with who reads none of our answers ends, too: nothing more is read from them', () => {
    const { client, half, application } = gate({ deny: () => forbidden('denied') });
    half.pause();
    client.says(get.repeat(10));
    expect(client.state.room).toEqual([false]);
    half.resume();
    expect(client.state.events).toEqual(['drained']);
    client.says(get);
    expect(client.state.room).toEqual([false, true]);
    expect(application.got).toBe('');
  });
});
