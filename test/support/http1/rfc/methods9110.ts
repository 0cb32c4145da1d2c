// RFC 9110 sections 9 to 15: methods, what fields and status codes ask of those in between.
import { answer, denied, get, ok, passes, type RfcRule, refused, request } from './vector.ts';

const connectTo = (target: string): string => `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`;
const tunnel = answer('HTTP/1.1 200 OK');
const waiting = request('PUT / HTTP/1.1', 'Content-Length: 2', 'Expect: 100-continue');
const goOn = answer('HTTP/1.1 100 Continue');
const hints = answer('HTTP/1.1 103 Early Hints', 'Link: x');
const empty = (status: string, ...lines: readonly string[]): string =>
  answer(`HTTP/1.1 ${status}`, ...lines, 'Content-Length: 0');

export const methods9110: readonly RfcRule[] = [
  {
    section: '9.1',
    rule: 'GET and HEAD are supported',
    stand: 'kept',
    vectors: [
      passes('GET', get()),
      passes('HEAD', request('HEAD / HTTP/1.1'), answer('HTTP/1.1 200 OK', 'Content-Length: 5')),
      passes('a method that nobody knows', request('FROBNICATE / HTTP/1.1')),
    ],
  },
  {
    section: '9.2.2',
    rule: 'A proxy does not repeat requests that must not be done twice',
    stand: 'kept',
    vectors: [
      passes('no request is repeated', `${request('POST / HTTP/1.1', 'Content-Length: 2')}he`, [], {
        hangsUp: 'application',
        ends: 'in order',
      }),
    ],
  },
  {
    section: '9.3.2',
    rule: 'An answer to HEAD has no body',
    stand: 'kept',
    vectors: [
      denied('that of the gate', request('HEAD /no HTTP/1.1'), 403, ['Content-Length: 7\r\n']),
      passes(
        'that of the application is cut before it',
        request('HEAD / HTTP/1.1'),
        [answer('HTTP/1.1 200 OK', 'Content-Length: 2'), 'ok'],
        {
          answered: answer('HTTP/1.1 200 OK', 'Content-Length: 2'),
          ends: 'in order',
        },
      ),
    ],
  },
  {
    section: '9.3.6',
    rule: 'CONNECT to a port that is none is refused',
    stand: 'kept',
    vectors: [
      refused('nothing', connectTo('web'), 'bad_target'),
      refused('an empty one', connectTo('web:'), 'bad_target'),
      refused('0', connectTo('web:0'), 'bad_target'),
      refused('65536', connectTo('web:65536'), 'bad_target'),
      refused('a word', connectTo('web:https'), 'bad_host'),
      passes('65535', connectTo('web:65535'), tunnel),
    ],
  },
  {
    section: '9.3.6',
    rule: 'When one side ends a tunnel, what it has sent is delivered and both ends are closed',
    stand: 'kept',
    vectors: [
      passes('the application', connectTo('web:80'), [tunnel, 'last words'], {
        hangsUp: 'application',
        ends: 'in order',
      }),
      passes('the client', `${connectTo('web:80')}last words`, [tunnel], { hangsUp: 'client' }),
    ],
  },
  {
    section: '9.3.6',
    rule: '2xx to CONNECT has neither Transfer-Encoding nor Content-Length',
    stand: 'kept',
    vectors: [
      passes('taken out', connectTo('web:80'), answer('HTTP/1.1 201 Fine', 'X: a', 'Content-Length: 0', 'Y: b'), {
        answered: answer('HTTP/1.1 201 Fine', 'X: a', 'Y: b'),
      }),
      passes('kept where there is no tunnel', connectTo('web:80'), empty('403 No')),
      refused(
        'CONNECT with a body',
        `CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nContent-Length: 5\r\n\r\nhello`,
        'bad_content_length',
      ),
    ],
  },
  {
    section: '9.3.7',
    rule: 'Max-Forwards is not put in',
    stand: 'kept',
    vectors: [passes('none stays none', request('OPTIONS / HTTP/1.1'))],
  },
  {
    section: '10.1.1',
    rule: 'In HTTP/1.0 Expect does not count',
    stand: 'kept',
    vectors: [
      passes(
        'nobody waits for 100, nor gets it',
        'PUT / HTTP/1.0\r\nHost: web\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhe',
        [goOn, ok],
        { answered: ok, ends: 'in order' },
      ),
    ],
  },
  {
    section: '10.1.1',
    rule: 'Behind 100 a final answer follows',
    stand: 'kept',
    vectors: [
      passes('that of the application', `${waiting}he`, [goOn, ok]),
      passes('or the connection ends', `${waiting}he`, goOn, { hangsUp: 'application', ends: 'in order' }),
    ],
  },
  {
    section: '10.1.1',
    rule: 'A proxy forwards a request that waits for 100 without its body, or answers it',
    stand: 'kept',
    vectors: [
      passes('the head goes on at once', waiting, goOn),
      passes('with the answer that it gets', waiting, empty('417 No')),
      denied('a denied one', request('PUT /no HTTP/1.1', 'Content-Length: 2', 'Expect: 100-continue'), 403, [
        'Connection: close\r\n',
      ]),
    ],
  },
  {
    section: '10.2.1',
    rule: 'A proxy leaves Allow as it is',
    stand: 'kept',
    vectors: [passes('methods that nobody knows', get(), empty('405 No', 'Allow: FROBNICATE, ,GET'))],
  },
  {
    section: '11.6.1',
    rule: '401 comes with a challenge',
    stand: 'kept',
    vectors: [denied('of the gate', request('GET /token HTTP/1.1'), 401, ['\r\nWWW-Authenticate: Bearer\r\n'])],
  },
  {
    section: '11.6.1',
    rule: 'A proxy leaves WWW-Authenticate as it is',
    stand: 'kept',
    vectors: [
      passes(
        'two challenges',
        get(),
        empty('401 No', 'WWW-Authenticate: Basic realm="a, b", Bearer', 'WWW-Authenticate: Odd'),
      ),
    ],
  },
  {
    section: '11.6.2',
    rule: 'A proxy leaves Authorization as it is',
    stand: 'kept',
    why: 'Unless a policy says that tokens that were verified go no further (`forward: false`)',
    vectors: [passes('of any scheme', get('Authorization: Odd  "x, y"'))],
  },
  {
    section: '11.7.1',
    rule: '407 comes with a challenge',
    stand: 'kept',
    why: 'A gate never says it',
    vectors: [passes('that of the application passes', get(), empty('407 No', 'Proxy-Authenticate: Basic realm="a"'))],
  },
  {
    section: '12.5.5',
    rule: 'A proxy says no Vary of `*`',
    stand: 'kept',
    why: 'A gate says none',
    vectors: [passes('that of the application passes', get(), empty('200 OK', 'Vary: *'))],
  },
  {
    section: '13.2.1',
    rule: 'Who is neither origin nor cache leaves conditions to those who are, and forwards them',
    stand: 'kept',
    vectors: [
      passes(
        'conditions of all kinds',
        get('If-Match: "a"', 'If-None-Match: *', 'If-Modified-Since: x', 'If-Unmodified-Since: y', 'If-Range: "b"'),
      ),
    ],
  },
  {
    section: '14.2',
    rule: 'Range does not count where it means nothing',
    stand: 'kept',
    why: 'A gate answers nothing that has ranges',
    vectors: [
      passes('forwarded', get('Range: odd=1-2')),
      denied('not looked at', request('GET /no HTTP/1.1', 'Range: bytes=0-1'), 403, ['denied\n']),
    ],
  },
  {
    section: '14.4',
    rule: 'Content-Range neither',
    stand: 'kept',
    why: 'As above',
    vectors: [passes('forwarded', get('Content-Range: bytes 0-1/2'))],
  },
  {
    section: '15',
    rule: 'A status that is not known means what its class means',
    stand: 'kept',
    vectors: [
      passes('2xx', get() + get(), [`${answer('HTTP/1.1 299 Odd', 'Content-Length: 2')}ok`, ok]),
      passes('5xx', get() + get(), [empty('599 Odd'), ok]),
      passes('1xx', get() + get(), [answer('HTTP/1.1 199 Odd'), ok, ok]),
      {
        what: 'a class that is none',
        sent: get(),
        says: [empty('600 Odd')],
        outcome: { kind: 'bad answer', rule: 'bad_status_line' },
      },
    ],
  },
  {
    section: '15.2',
    rule: 'A client of HTTP/1.0 gets no 1xx',
    stand: 'kept',
    vectors: [passes('taken out', 'GET / HTTP/1.0\r\n\r\n', [hints, ok], { answered: ok, ends: 'in order' })],
  },
  {
    section: '15.2',
    rule: 'Any number of 1xx may come before an answer, also unasked',
    stand: 'kept',
    vectors: [passes('three', get() + get(), [goOn, hints, answer('HTTP/1.1 199'), ok, ok])],
  },
  {
    section: '15.2',
    rule: 'A proxy forwards 1xx',
    stand: 'kept',
    vectors: [passes('at once', get(), hints)],
  },
  {
    section: '15.2.2',
    rule: '101 says what is gone over to',
    stand: 'kept',
    why: 'See section 7.8',
    vectors: [],
  },
  {
    section: '15.5.2',
    rule: '401 comes with a challenge',
    stand: 'kept',
    why: 'See section 11.6.1',
    vectors: [],
  },
  {
    section: '15.5.8',
    rule: '407 comes with a challenge',
    stand: 'kept',
    why: 'See section 11.7.1',
    vectors: [],
  },
  {
    section: '15.5.20',
    rule: 'A proxy does not say 421 itself',
    stand: 'kept',
    why: 'A gate never says it',
    vectors: [passes('that of the application passes', get(), empty('421 No'))],
  },
];
