// RFC 9110 sections 6 to 8: messages, routing, and what messages say of their bodies.
import { answer, badAnswer, chunked, denied, get, ok, passes, type RfcRule, refused, request } from './vector.ts';

const upload = (...lines: readonly string[]): string => request('POST / HTTP/1.1', ...lines);
const switching = 'HTTP/1.1 101 Switching Protocols';
const offer = get('Connection: Upgrade', 'Upgrade: websocket, other/2');
const oldOffer = 'GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n';
const octetsOnly = 'The octets of both sides go on as they are';

const messages: readonly RfcRule[] = [
  {
    section: '6',
    rule: 'An answer is read as one to the request that was sent',
    stand: 'kept',
    vectors: [
      passes('to HEAD it has no body', request('HEAD / HTTP/1.1') + get(), [
        answer('HTTP/1.1 200 OK', 'Content-Length: 5'),
        ok,
      ]),
      passes('to GET it has one', get() + get(), answer('HTTP/1.1 200 OK', 'Content-Length: 5'), { through: get() }),
    ],
  },
  {
    section: '6.2',
    rule: 'Nobody says a version whose rules it does not keep',
    stand: 'kept',
    vectors: [
      denied('an answer of the gate to HTTP/1.1', request('GET /no HTTP/1.1'), 403, ['HTTP/1.1 403 ']),
      refused('a request of HTTP/2', request('GET / HTTP/2.0'), 'bad_version'),
      refused('a version to come', request('GET / HTTP/1.2'), 'bad_version'),
      badAnswer('an answer of HTTP/2', answer('HTTP/2.0 200 OK'), 'bad_version'),
    ],
  },
  {
    section: '6.5.1',
    rule: 'Fields behind a body are not put into the head',
    stand: 'kept',
    vectors: [
      passes('of a request', chunked('0\r\nX: a\r\n\r\n')),
      refused('Transfer-Encoding', chunked('0\r\nTransfer-Encoding: chunked\r\n\r\n'), 'framing_field_in_trailers'),
    ],
  },
  {
    section: '6.6.1',
    rule: 'Who answers by itself and has a clock says the date with 2xx, 3xx and 4xx',
    stand: 'kept',
    vectors: [
      denied('403', request('GET /no HTTP/1.1'), 403, ['\r\nDate: ']),
      denied('401', request('GET /token HTTP/1.1'), 401, ['\r\nDate: ']),
    ],
  },
  {
    section: '6.6.1',
    rule: 'Who forwards an answer without a date puts one in',
    stand: 'left',
    why: `${octetsOnly}: a head gets what a policy asks for and nothing else. The application is milliseconds away, so that the client's own clock says the same`,
    vectors: [passes('none stays none', get(), ok)],
  },
  {
    section: '7.1',
    rule: '`*` is for OPTIONS, and host with port for CONNECT',
    stand: 'kept',
    vectors: [
      refused('an asterisk with GET', request('GET * HTTP/1.1'), 'bad_target'),
      refused('host and port with GET', request('GET web:80 HTTP/1.1'), 'bad_target'),
      refused('a path with CONNECT', request('CONNECT / HTTP/1.1'), 'bad_target'),
      refused('a URL with CONNECT', request('CONNECT http://web:80 HTTP/1.1'), 'bad_target'),
    ],
  },
  {
    section: '7.4',
    rule: 'A request for https over plaintext is refused, unless a gateway that is trusted sends it',
    stand: 'left',
    why: 'To the application a sidecar is that gateway. Plaintext gets to a gate in mode Permissive alone',
    vectors: [passes('a whole URL of https', request('GET https://web/ HTTP/1.1'))],
  },
];

const routing: readonly RfcRule[] = [
  {
    section: '7.6',
    rule: 'What is for one connection alone is not forwarded',
    stand: 'left',
    why: 'Each connection of a client has one of its own to the application, which begins and ends with it: what is said of the one is true of the other',
    vectors: [passes('Keep-Alive', get('Connection: keep-alive', 'Keep-Alive: timeout=5'))],
  },
  {
    section: '7.6',
    rule: 'Nobody forwards a message to itself',
    stand: 'elsewhere',
    why: "What comes in goes to the application's port of the same pod and nowhere else (`sidecar/deliver.ts`); the capture leaves out what sidecars send (`test/integration/sidecar/redirect.test.ts`)",
    vectors: [],
  },
  {
    section: '7.6.1',
    rule: 'Connection is read, and what it names is taken out, together with itself',
    stand: 'left',
    why: 'As above. What it must not take away is refused: a rule may have been decided by it, or the next proxy would frame the message otherwise',
    vectors: [
      passes('a field', get('Connection: X-Hop', 'X-Hop: a')),
      passes('TE', get('Connection: TE', 'TE: trailers')),
      passes(
        'Upgrade, where the offer is HTTP/2',
        get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'),
        ok,
        {
          through: get('Connection: Upgrade, HTTP2-Settings'),
        },
      ),
    ],
  },
  {
    section: '7.6.1',
    rule: 'Connection names nothing that is for all who receive the message',
    stand: 'kept',
    vectors: [
      refused('Host', get('Connection: close, Host'), 'protected_field_in_connection'),
      refused(
        'Content-Length',
        upload('Connection: Content-Length', 'Content-Length: 5'),
        'protected_field_in_connection',
      ),
      refused(
        'Transfer-Encoding',
        upload('Connection: transfer-encoding', 'Transfer-Encoding: chunked'),
        'protected_field_in_connection',
      ),
      refused('Authorization', get('Connection: Authorization'), 'protected_field_in_connection'),
      refused('Cookie', get('Connection: Cookie'), 'protected_field_in_connection'),
      refused('who the client is', get('Connection: Client-Cert'), 'protected_field_in_connection'),
    ],
  },
  {
    section: '7.6.2',
    rule: 'Max-Forwards of TRACE and OPTIONS is counted down, and at zero the request goes no further',
    stand: 'left',
    why: "A sidecar is no hop of its own: it stands where the application's port was, and the application is the one to answer",
    vectors: [
      passes('TRACE', request('TRACE / HTTP/1.1', 'Max-Forwards: 0')),
      passes('OPTIONS', request('OPTIONS / HTTP/1.1', 'Max-Forwards: 3')),
    ],
  },
  {
    section: '7.6.3',
    rule: 'Via names each proxy that a message went through, and each gateway that a request did',
    stand: 'left',
    why: 'It would tell clients how the inside is made, and change a message that nothing else changes; loops, which it is for, cannot be',
    vectors: [
      passes('none', get()),
      passes('that of others', get('Via: 1.1 edge')),
      passes('that of others in an answer', get(), answer('HTTP/1.1 200 OK', 'Via: 1.1 inside', 'Content-Length: 0')),
    ],
  },
  {
    section: '7.7',
    rule: 'Host, path and query are forwarded as they are',
    stand: 'kept',
    vectors: [
      passes('a path that could be shorter', request('GET /a/../b/./%7e//c;d?e=%2F&&f HTTP/1.1')),
      passes('a URL', request('GET http://web/%61?x HTTP/1.1')),
    ],
  },
  {
    section: '7.7',
    rule: 'Bodies of answers with no-transform are not changed',
    stand: 'kept',
    vectors: [
      passes(
        'nor any other',
        get(),
        `${answer('HTTP/1.1 200 OK', 'Cache-Control: no-transform', 'Content-Length: 4')}\0\xff\r\n`,
      ),
    ],
  },
  {
    section: '7.8',
    rule: 'An answer with 101 says what it goes over to',
    stand: 'kept',
    vectors: [
      passes('what was offered', offer, [
        answer(switching, 'Connection: upgrade', 'Upgrade: WebSocket'),
        '\0 anything',
      ]),
      badAnswer('nothing', answer(switching), 'unasked_response', offer),
      badAnswer('an empty list', answer(switching, 'Upgrade: ,'), 'unasked_response', offer),
    ],
  },
  {
    section: '7.8',
    rule: 'Nothing is gone over to that the client did not offer',
    stand: 'kept',
    vectors: [
      badAnswer('another protocol', answer(switching, 'Upgrade: smtp'), 'unasked_response', offer),
      badAnswer(
        'one that was offered and one that was not',
        answer(switching, 'Upgrade: websocket, smtp'),
        'unasked_response',
        offer,
      ),
      badAnswer('any, where none was offered', answer(switching, 'Upgrade: websocket'), 'unasked_response'),
      badAnswer(
        'any, where Connection does not say so',
        answer(switching, 'Upgrade: websocket'),
        'unasked_response',
        get('Upgrade: websocket'),
      ),
      passes('the second of two', offer, [answer(switching, 'Upgrade: other/2'), 'x']),
    ],
  },
  {
    section: '7.8',
    rule: 'Who sends Upgrade names it in Connection',
    stand: 'kept',
    why: 'A gate offers nothing itself; an offer without it counts for none',
    vectors: [passes('an offer that counts for none', get('Upgrade: websocket'))],
  },
  {
    section: '7.8',
    rule: 'In HTTP/1.0 Upgrade does not count',
    stand: 'kept',
    vectors: [
      passes('an offer', oldOffer),
      badAnswer('that is taken up', answer(switching, 'Upgrade: websocket'), 'unasked_response', oldOffer),
    ],
  },
  {
    section: '7.8',
    rule: 'A client that waits for 100 gets it before 101',
    stand: 'kept',
    why: "The application's to say; both pass",
    vectors: [
      passes('both', get('Expect: 100-continue', 'Connection: upgrade', 'Upgrade: websocket'), [
        answer('HTTP/1.1 100 Continue'),
        answer(switching, 'Upgrade: websocket'),
      ]),
    ],
  },
];

const bodies: readonly RfcRule[] = [
  {
    section: '8.6',
    rule: 'Content-Length of an answer to HEAD, or with 304, is what GET would have got',
    stand: 'kept',
    vectors: [
      passes('that of the application stays', request('HEAD / HTTP/1.1') + get(), [
        answer('HTTP/1.1 200 OK', 'Content-Length: 500'),
        ok,
      ]),
      passes('also with 304', get('If-None-Match: "x"') + get(), [
        answer('HTTP/1.1 304 Not Modified', 'Content-Length: 500'),
        ok,
      ]),
      denied('that of the gate', request('HEAD /no HTTP/1.1'), 403, ['\r\nContent-Length: 7\r\n']),
    ],
  },
  {
    section: '8.6',
    rule: 'Answers with 1xx or 204 have no Content-Length',
    stand: 'kept',
    vectors: [
      passes('taken out of 204', get() + get(), [answer('HTTP/1.1 204 No Content', 'Content-Length: 5'), ok], {
        answered: answer('HTTP/1.1 204 No Content') + ok,
      }),
      passes('taken out of 103', get(), [answer('HTTP/1.1 103 Early Hints', 'Content-Length: 5', 'Link: x'), ok], {
        answered: answer('HTTP/1.1 103 Early Hints', 'Link: x') + ok,
      }),
      passes('taken out of 101', offer, answer(switching, 'Upgrade: websocket', 'Content-Length: 0'), {
        answered: answer(switching, 'Upgrade: websocket'),
      }),
    ],
  },
  {
    section: '8.6',
    rule: 'Answers with 2xx to CONNECT have none',
    stand: 'kept',
    vectors: [
      passes(
        'taken out',
        'CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n',
        answer('HTTP/1.1 200 OK', 'Content-Length: 5'),
        {
          answered: answer('HTTP/1.1 200 OK'),
        },
      ),
    ],
  },
  {
    section: '8.6',
    rule: 'Large numbers neither overflow nor lose digits',
    stand: 'kept',
    vectors: [
      refused('2^64 and five', `${upload('Content-Length: 18446744073709551621')}hello`, 'bad_content_length'),
      refused('2^53 and one', `${upload('Content-Length: 9007199254740993')}hello`, 'bad_content_length'),
      passes('15 digits, of which some comes', `${upload('Content-Length: 999999999999999')}hello`, []),
      badAnswer(
        '2^64 in an answer',
        answer('HTTP/1.1 200 OK', 'Content-Length: 18446744073709551616'),
        'bad_content_length',
      ),
    ],
  },
  {
    section: '8.6',
    rule: 'A length that is known to be wrong is not forwarded',
    stand: 'kept',
    vectors: [
      refused(
        'with chunks',
        upload('Content-Length: 2', 'Transfer-Encoding: chunked'),
        'content_length_with_transfer_encoding',
      ),
      passes('a body that is shorter is cut', `${upload('Content-Length: 5')}ab`, [], {
        hangsUp: 'client',
        ends: 'cut',
      }),
    ],
  },
  {
    section: '8.6',
    rule: 'A length that is no number is not forwarded',
    stand: 'kept',
    vectors: [
      refused('a word', upload('Content-Length: five'), 'bad_content_length'),
      refused('digits above ASCII', upload('Content-Length: \xb2'), 'bad_content_length'),
      badAnswer('in an answer', answer('HTTP/1.1 200 OK', 'Content-Length: 5;'), 'bad_content_length'),
    ],
  },
];

export const routing9110: readonly RfcRule[] = [...messages, ...routing, ...bodies];
