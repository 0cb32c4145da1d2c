// RFC 9112 sections 8 and 9: answers that are cut short, and the life of connections.
import { answer, denied, get, ok, passes, type RfcRule, request } from './vector.ts';

const upload = (...lines: readonly string[]): string => request('POST / HTTP/1.1', ...lines);
const inChunks = answer('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked');
const close = 'Connection: close';
const keep = 'Connection: keep-alive';

export const connections9112: readonly RfcRule[] = [
  {
    section: '8',
    rule: 'An answer that is cut short is known as incomplete',
    stand: 'kept',
    vectors: [
      passes('counted', get(), `${answer('HTTP/1.1 200 OK', 'Content-Length: 5')}he`, {
        hangsUp: 'application',
        ends: 'cut',
      }),
      passes('in chunks', get(), `${inChunks}5\r\nhello\r\n`, { hangsUp: 'application', ends: 'cut' }),
      passes('in its head', get(), 'HTTP/1.1 200 OK\r\nConte', { answered: '', hangsUp: 'application', ends: 'cut' }),
    ],
  },
  {
    section: '9.2',
    rule: 'Each answer belongs to the first request that has none',
    stand: 'kept',
    vectors: [
      passes('requests in advance go on one at a time', get() + get('X: second') + get(), [ok], {
        through: get() + get('X: second'),
      }),
      passes('an interim answer is none', get() + get(), [answer('HTTP/1.1 103 Early Hints')], { through: get() }),
    ],
  },
  {
    section: '9.2',
    rule: 'What comes without a request is no answer',
    stand: 'kept',
    vectors: [passes('before the first', '', ok, { answered: '', ends: 'in order' })],
  },
  {
    section: '9.3',
    rule: 'Who answers before the body has come reads all of it or ends the connection',
    stand: 'kept',
    vectors: [
      denied('a denied request with a body', `${request('POST /no HTTP/1.1', 'Content-Length: 5')}hello`, 403, [close]),
      passes('an early answer of the application', `${upload('Content-Length: 5')}he`, ok),
      passes('the rest of the body behind it', `${upload('Content-Length: 2')}he${get()}`, [ok, ok]),
    ],
  },
  {
    section: '9.3',
    rule: 'Who uses a connection again has read the answer to its end',
    stand: 'kept',
    vectors: [
      passes('half an answer', get() + get(), `${answer('HTTP/1.1 200 OK', 'Content-Length: 5')}he`, {
        through: get(),
      }),
    ],
  },
  {
    section: '9.3',
    rule: 'A proxy keeps no connection of a client of HTTP/1.0',
    stand: 'left',
    why: 'That is for proxies that do not understand Connection; a gate does, and each client has a connection to the application of its own. Answers of the gate end it',
    vectors: [
      passes('one that wants it', `GET / HTTP/1.0\r\n${keep}\r\n\r\n`),
      passes('one that does not', 'GET / HTTP/1.0\r\n\r\n', ok, { ends: 'in order' }),
      denied('one that is denied', `GET /no HTTP/1.0\r\n${keep}\r\n\r\n`, 403, [close]),
    ],
  },
  {
    section: '9.3.2',
    rule: 'Answers come in the order of their requests',
    stand: 'kept',
    vectors: [
      passes('two', get() + get(), [ok, answer('HTTP/1.1 404 No', 'Content-Length: 0')]),
      passes('a denied one waits', get() + request('GET /no HTTP/1.1'), [], { through: get() }),
    ],
  },
  {
    section: '9.6',
    rule: 'Behind the answer to a request with `close` the connection ends, and no further request is read',
    stand: 'kept',
    vectors: [
      passes('another request behind it', get(close) + get(), ok, { through: get(close), ends: 'in order' }),
      passes('among others and in capitals', get('Connection: x, CLOSE'), ok, { ends: 'in order' }),
      denied('a denied one', request('GET /no HTTP/1.1', close), 403, [close]),
    ],
  },
  {
    section: '9.6',
    rule: 'Behind an answer with `close` it ends, too, and no further request is sent',
    stand: 'kept',
    vectors: [
      passes('another request behind it', get() + get(), answer('HTTP/1.1 200 OK', close, 'Content-Length: 0'), {
        through: get(),
        ends: 'in order',
      }),
    ],
  },
  {
    section: '9.7',
    rule: 'Over TLS everything is application data',
    stand: 'elsewhere',
    why: "OpenSSL's part: sidecars write through it and nowhere else (`test/integration/sidecar/direct.test.ts`)",
    vectors: [],
  },
  {
    section: '9.8',
    rule: 'Over TLS connections end with alerts that say so',
    stand: 'elsewhere',
    why: 'The end of a direction is close_notify (`sidecar/relay/half.ts`); tunnels say it in frames of their own',
    vectors: [],
  },
];
