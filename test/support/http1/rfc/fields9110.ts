// RFC 9110 sections 2 to 5: what holds of all messages, URLs, and fields.
import { answer, badAnswer, chunked, denied, get, ok, passes, type RfcRule, refused, request } from './vector.ts';

const upload = (...lines: readonly string[]): string => request('POST / HTTP/1.1', ...lines);
const switching = 'HTTP/1.1 101 Switching Protocols';
const emptyAnswer = answer('HTTP/1.1 200 OK', 'Content-Length: 0');

const general: readonly RfcRule[] = [
  {
    section: '2.2',
    rule: 'What is sent has the form that the grammar gives it, and is what the role of the sender may send',
    stand: 'kept',
    vectors: [
      denied('an answer of the gate', request('GET /no HTTP/1.1'), 403, [
        'HTTP/1.1 403 Forbidden\r\nDate: ',
        '\r\nContent-Length: 7\r\n',
        '\r\n\r\ndenied\n',
      ]),
    ],
  },
  {
    section: '2.3',
    rule: 'Who receives can read elements as long as those that it sends itself',
    stand: 'kept',
    vectors: [
      passes('a value of 30,000 octets', get(`X: ${'a'.repeat(30_000)}`)),
      passes(
        'a value of 30,000 octets in an answer',
        get(),
        answer('HTTP/1.1 200 OK', `X: ${'a'.repeat(30_000)}`, 'Content-Length: 0'),
      ),
    ],
  },
  {
    section: '2.4',
    rule: 'Elements mean what the specification says',
    stand: 'elsewhere',
    why: 'All of this page',
    vectors: [],
  },
  {
    section: '3.3',
    rule: 'Two requests on a connection may come from two users, unless the connection is secured and of one of them alone',
    stand: 'kept',
    vectors: [
      denied('each is judged by itself', request('GET /no HTTP/1.1'), 403, []),
      denied('and by its own token', request('GET /token HTTP/1.1'), 401, []),
    ],
  },
  {
    section: '4.2.1',
    rule: 'A URL of http without a host is invalid',
    stand: 'kept',
    vectors: [
      refused('nothing', request('GET http:///x HTTP/1.1'), 'bad_target'),
      refused('a port alone', request('GET http://:80/x HTTP/1.1'), 'bad_target'),
    ],
  },
  {
    section: '4.2.2',
    rule: 'A URL of https without a host is invalid',
    stand: 'kept',
    vectors: [refused('nothing', request('GET https:///x HTTP/1.1'), 'bad_target')],
  },
  {
    section: '4.2.4',
    rule: 'No message names a user in a URL',
    stand: 'kept',
    vectors: [
      refused('in the target', request('GET http://user@web/ HTTP/1.1'), 'bad_target'),
      refused('in Host', 'GET / HTTP/1.1\r\nHost: user@web\r\n\r\n', 'bad_host'),
    ],
  },
];

const fields: readonly RfcRule[] = [
  {
    section: '5.1',
    rule: 'Fields that are not known go on',
    stand: 'kept',
    why: 'But names with `_` in requests are refused: CGI and its heirs read them as others',
    vectors: [
      passes('of a request', get('X-Odd:  kept as it is ', "Very~Odd!#$%&'*+.^`|: x")),
      passes('of an answer', get(), answer('HTTP/1.1 200 OK', 'X_Odd: a', 'Content-Length: 0')),
      refused('an underscore', get('X_Odd: a'), 'underscore_in_field_name'),
    ],
  },
  {
    section: '5.3',
    rule: 'Lines of the same name keep their order',
    stand: 'kept',
    vectors: [
      passes('of a request', get('X: 2', 'Y: 1', 'X: 1')),
      passes('of an answer', get(), answer('HTTP/1.1 200 OK', 'Set-Cookie: b', 'Set-Cookie: a', 'Content-Length: 0')),
    ],
  },
  {
    section: '5.3',
    rule: 'No line is put beside another of its name that is there once at most',
    stand: 'kept',
    vectors: [
      passes('Strict-Transport-Security where there is none', get(), emptyAnswer, {
        hsts: true,
        answered: answer('HTTP/1.1 200 OK', 'Content-Length: 0', 'Strict-Transport-Security: max-age=60'),
      }),
      passes(
        'Strict-Transport-Security where there is one',
        get(),
        answer('HTTP/1.1 200 OK', 'strict-transport-security: max-age=1', 'Content-Length: 0'),
        { hsts: true },
      ),
    ],
  },
  {
    section: '5.3',
    rule: 'Nothing is done for a request before its head is whole',
    stand: 'kept',
    vectors: [
      passes('all but the last octet', get().slice(0, -1), [], { through: '' }),
      passes('the first line', 'DELETE /everything HTTP/1.1\r\n', [], { through: '' }),
    ],
  },
  {
    section: '5.4',
    rule: 'Fields that are longer or more than the server will read get 4xx',
    stand: 'kept',
    vectors: [
      refused('a long one', get(`X: ${'a'.repeat(33_000)}`), 'head_too_large', 431),
      refused('one without end', `${get().slice(0, -2)}X: ${'a'.repeat(33_000)}`, 'head_too_large', 431),
      refused('a hundred and one', get(...Array.from({ length: 100 }, () => 'X: a')), 'too_many_fields', 431),
    ],
  },
  {
    section: '5.5',
    rule: 'Blanks around a value do not belong to it',
    stand: 'kept',
    vectors: [
      passes('of Host', 'GET http://web/ HTTP/1.1\r\nHost: \t web \t\r\n\r\n'),
      passes('of Content-Length', `${upload('Content-Length:\t 2 \t')}he${get()}`, [ok, ok]),
      passes('of Transfer-Encoding', `${upload('Transfer-Encoding:  chunked\t')}0\r\n\r\n${get()}`, [ok, ok]),
      passes('none at all', `${upload('Content-Length:2')}he${get()}`, [ok, ok]),
    ],
  },
  {
    section: '5.5',
    rule: 'CR, LF and NUL in a value are refused or made blanks',
    stand: 'kept',
    vectors: [
      refused('CR', get('X: a\rb'), 'bare_line_ending'),
      refused('LF', get('X: a\nY: b'), 'bare_line_ending'),
      refused('NUL', get('X: a\0b'), 'bad_field_value'),
      refused('other controls', get('X: a\x07b'), 'bad_field_value'),
      badAnswer('LF in an answer', answer('HTTP/1.1 200 OK', 'X: a\nY: b'), 'bare_line_ending'),
      badAnswer('NUL in an answer', answer('HTTP/1.1 200 OK', 'X: a\0b'), 'bad_field_value'),
      refused('NUL behind a body', chunked('0\r\nX: a\0\r\n\r\n'), 'bad_field_value'),
    ],
  },
  {
    section: '5.6.1.1',
    rule: 'No lists with empty elements are sent',
    stand: 'kept',
    why: 'A gate sends no lists of its own',
    vectors: [],
  },
  {
    section: '5.6.1.2',
    rule: 'Empty elements of lists do not matter',
    stand: 'kept',
    vectors: [
      passes('of Connection', get('Connection: , ,close,'), ok, { ends: 'in order' }),
      passes(
        'of Upgrade',
        get('Connection: ,upgrade', 'Upgrade: ,, websocket'),
        answer(switching, 'Upgrade: websocket'),
      ),
    ],
  },
  {
    section: '5.6.1.2',
    rule: 'Those of Transfer-Encoding neither',
    stand: 'stricter',
    why: 'Parsers disagree about them, and there is nothing to list',
    vectors: [refused('one in front', upload('Transfer-Encoding: ,chunked'), 'bad_transfer_encoding')],
  },
  {
    section: '5.6.3',
    rule: 'Blanks where the grammar has them for old senders alone are passed over, and none is sent',
    stand: 'stricter',
    why: 'The one such place that a gate reads is before the extension of a chunk. Nobody sends them there but smugglers',
    vectors: [refused('before an extension', chunked('1 ;x=y\r\na\r\n0\r\n\r\n'), 'bad_chunk')],
  },
  {
    section: '5.6.4',
    rule: 'A backslash in quotes stands for the octet behind it',
    stand: 'kept',
    why: 'No field that a gate reads has quotes, and those of extensions of chunks end nothing',
    vectors: [passes('a quote in the extension of a chunk', chunked('1;x="\\";\\""\r\na\r\n0\r\n\r\n'))],
  },
  {
    section: '5.6.7',
    rule: 'Dates are sent in the one form that is in use',
    stand: 'kept',
    vectors: [
      denied('of an answer of the gate', request('GET /no HTTP/1.1'), 403, ['Date: Mon, 02 Nov 2026 09:08:07 GMT\r\n']),
      passes(
        'those of others stay',
        get(),
        answer('HTTP/1.1 200 OK', 'Date: Sunday, 06-Nov-94 08:49:37 GMT', 'Content-Length: 0'),
      ),
    ],
  },
];

export const fields9110: readonly RfcRule[] = [...general, ...fields];
