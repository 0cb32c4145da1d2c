// RFC 9112 sections 6 and 7: where bodies end, and chunks.
import { answer, badAnswer, chunked, get, ok, passes, type RfcRule, refused, request } from './vector.ts';

const upload = (...lines: readonly string[]): string => request('POST / HTTP/1.1', ...lines);
const connect = 'CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n';
const inChunks = answer('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked');
const bare = answer('HTTP/1.1 204 No Content');
const keep = 'Connection: keep-alive';
const oldPost = ['POST / HTTP/1.0', 'Host: web', keep];

const framing: readonly RfcRule[] = [
  {
    section: '6.1',
    rule: 'Who receives messages can read chunks',
    stand: 'kept',
    vectors: [
      passes('of a request', chunked('5\r\nhello\r\n0\r\n\r\n')),
      passes('of an answer', get(), `${inChunks}5\r\nhello\r\n0\r\n\r\n`),
      passes('before another request', chunked('1\r\na\r\n0\r\n\r\n') + get(), [ok, ok]),
      refused('with one that is too short', chunked('2\r\na\r\n0\r\n\r\n'), 'bad_chunk'),
      refused('with a size that is none', chunked('x\r\n'), 'bad_chunk'),
      refused('with a lone LF', chunked('1\na\r\n0\r\n\r\n'), 'bad_chunk'),
    ],
  },
  {
    section: '6.1',
    rule: '`chunked` is applied once',
    stand: 'kept',
    vectors: [
      refused('twice in a line', upload('Transfer-Encoding: chunked, chunked'), 'bad_transfer_encoding'),
      refused(
        'in two lines',
        upload('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
        'bad_transfer_encoding',
      ),
      badAnswer(
        'twice in an answer',
        answer('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked, chunked'),
        'bad_transfer_encoding',
      ),
    ],
  },
  {
    section: '6.1',
    rule: 'Where another coding is applied, `chunked` is the last one',
    stand: 'stricter',
    why: 'No other coding is taken: what two parsers split differently is how requests are smuggled, and nobody uses them',
    vectors: [
      refused('gzip before chunked', upload('Transfer-Encoding: gzip, chunked'), 'bad_transfer_encoding'),
      badAnswer(
        'gzip alone in an answer',
        answer('HTTP/1.1 200 OK', 'Transfer-Encoding: gzip'),
        'bad_transfer_encoding',
      ),
    ],
  },
  {
    section: '6.1',
    rule: 'Answers with 1xx or 204 have no Transfer-Encoding',
    stand: 'kept',
    vectors: [
      passes('taken out of 204', get(), answer('HTTP/1.1 204 No Content', 'Transfer-Encoding: chunked'), {
        answered: bare,
      }),
      passes('taken out of 100', get(), [answer('HTTP/1.1 100 Continue', 'Transfer-Encoding: chunked'), ok], {
        answered: answer('HTTP/1.1 100 Continue') + ok,
      }),
      passes(
        'taken out of 204, to which a policy adds a field',
        get(),
        answer('HTTP/1.1 204 No Content', 'Transfer-Encoding: chunked', 'X: a'),
        { hsts: true, answered: answer('HTTP/1.1 204 No Content', 'X: a', 'Strict-Transport-Security: max-age=60') },
      ),
      passes('with chunks behind 204, which are cut', get(), [bare, '0\r\n\r\n'], { answered: bare, ends: 'in order' }),
    ],
  },
  {
    section: '6.1',
    rule: 'Answers with 2xx to CONNECT have no Transfer-Encoding',
    stand: 'kept',
    vectors: [
      passes('taken out', connect, answer('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'), {
        answered: answer('HTTP/1.1 200 OK'),
      }),
    ],
  },
  {
    section: '6.1',
    rule: 'Whoever asks in HTTP/1.0 is not answered in chunks',
    stand: 'left',
    why: 'Applications that do it have clients that live with it; the connection ends behind the answer, so that nothing else is taken for its end',
    vectors: [
      passes(
        'chunks to HTTP/1.0, and nothing behind them',
        `GET / HTTP/1.0\r\n${keep}\r\n\r\n${get()}`,
        `${inChunks}2\r\nok\r\n0\r\n\r\n`,
        { through: `GET / HTTP/1.0\r\n${keep}\r\n\r\n`, ends: 'in order' },
      ),
    ],
  },
  {
    section: '6.1',
    rule: 'A request with Content-Length and Transfer-Encoding is the last of its connection',
    stand: 'stricter',
    why: 'It is refused, and the connection ends',
    vectors: [
      refused(
        'both, length first',
        `${upload('Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n${get()}`,
        'content_length_with_transfer_encoding',
      ),
    ],
  },
  {
    section: '6.1',
    rule: 'Transfer-Encoding in HTTP/1.0 is faulty framing, also beside Content-Length',
    stand: 'kept',
    vectors: [
      refused(
        'alone',
        [...oldPost, 'Transfer-Encoding: chunked', '', '0\r\n\r\n'].join('\r\n'),
        'transfer_encoding_in_http_1_0',
      ),
      refused(
        'beside a length',
        [...oldPost, 'Transfer-Encoding: chunked', 'Content-Length: 5', '', '0\r\n\r\n'].join('\r\n'),
        'content_length_with_transfer_encoding',
      ),
      badAnswer(
        'in an answer',
        answer('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked'),
        'transfer_encoding_in_http_1_0',
      ),
    ],
  },
  {
    section: '6.2',
    rule: 'No message is sent with both Content-Length and Transfer-Encoding',
    stand: 'kept',
    vectors: [
      refused(
        'a request with both, coding first',
        `${upload('Transfer-Encoding: chunked', 'Content-Length: 5')}0\r\n\r\n`,
        'content_length_with_transfer_encoding',
      ),
      badAnswer(
        'an answer with both',
        answer('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', 'Content-Length: 5'),
        'content_length_with_transfer_encoding',
      ),
    ],
  },
  {
    section: '6.3',
    rule: 'Behind 2xx to CONNECT the tunnel begins, whatever the fields say',
    stand: 'kept',
    vectors: [
      passes(
        'a length, and more octets than that',
        `${connect}up`,
        [answer('HTTP/1.1 200 OK', 'Content-Length: 1'), 'down and further'],
        { answered: `${answer('HTTP/1.1 200 OK')}down and further` },
      ),
    ],
  },
  {
    section: '6.3',
    rule: 'Who forwards a message with both fields takes Content-Length out first',
    stand: 'stricter',
    why: 'Such messages are refused, see section 6.1',
    vectors: [],
  },
  {
    section: '6.3',
    rule: 'A request whose last coding is not `chunked` gets 400, and the connection ends',
    stand: 'kept',
    vectors: [
      refused('identity', upload('Transfer-Encoding: identity'), 'bad_transfer_encoding'),
      refused('chunked first', upload('Transfer-Encoding: chunked, gzip'), 'bad_transfer_encoding'),
      refused('a word that begins like it', upload('Transfer-Encoding: chunkedx'), 'bad_transfer_encoding'),
      refused('nothing', upload('Transfer-Encoding:'), 'bad_transfer_encoding'),
    ],
  },
  {
    section: '6.3',
    rule: 'An invalid Content-Length gets 400, and the connection ends; a list of equal values may be taken',
    stand: 'kept',
    vectors: [
      refused('a sign', upload('Content-Length: +5'), 'bad_content_length'),
      refused('a negative one', upload('Content-Length: -5'), 'bad_content_length'),
      refused('hexadecimal', upload('Content-Length: 0x5'), 'bad_content_length'),
      refused('a blank inside', upload('Content-Length: 5 5'), 'bad_content_length'),
      refused('nothing', upload('Content-Length:'), 'bad_content_length'),
      refused('two that differ', upload('Content-Length: 5', 'Content-Length: 6'), 'repeated_content_length'),
      refused('two that are equal', upload('Content-Length: 5', 'Content-Length: 5'), 'repeated_content_length'),
      refused('a list that differs', upload('Content-Length: 5, 6'), 'bad_content_length'),
      refused('a list of equal ones', upload('Content-Length: 5, 5'), 'bad_content_length'),
    ],
  },
  {
    section: '6.3',
    rule: 'In an answer it is thrown away for 502, and the connection to the server ends',
    stand: 'kept',
    vectors: [
      badAnswer('a sign', answer('HTTP/1.1 200 OK', 'Content-Length: +5'), 'bad_content_length'),
      badAnswer('a list that differs', answer('HTTP/1.1 200 OK', 'Content-Length: 5, 6'), 'bad_content_length'),
      badAnswer(
        'two that differ',
        answer('HTTP/1.1 200 OK', 'Content-Length: 5', 'Content-Length: 6'),
        'repeated_content_length',
      ),
    ],
  },
  {
    section: '6.3',
    rule: 'A body that ends before its length has come is incomplete, and the connection ends',
    stand: 'kept',
    vectors: [
      passes('of a request', `${upload('Content-Length: 5')}abc`, [], { hangsUp: 'client', ends: 'cut' }),
      passes('of a request in chunks', chunked('5\r\nabc'), [], { hangsUp: 'client', ends: 'cut' }),
      passes('of an answer', get(), answer('HTTP/1.1 200 OK', 'Content-Length: 5'), {
        hangsUp: 'application',
        ends: 'cut',
      }),
    ],
  },
  {
    section: '6.3',
    rule: 'Octets behind an answer are never taken for another one',
    stand: 'kept',
    vectors: [
      passes('a second answer', get(), [ok, ok], { answered: ok, ends: 'in order' }),
      passes('a body behind HEAD', request('HEAD / HTTP/1.1'), [answer('HTTP/1.1 200 OK', 'Content-Length: 2'), ok], {
        answered: answer('HTTP/1.1 200 OK', 'Content-Length: 2'),
        ends: 'in order',
      }),
    ],
  },
];

const chunks: readonly RfcRule[] = [
  {
    section: '7.1',
    rule: 'Who receives messages can decode chunks',
    stand: 'kept',
    vectors: [
      passes('capitals and zeros in front', chunked('00A\r\n0123456789\r\n0\r\n\r\n')),
      passes('chunks that look like requests', chunked(`${get().length.toString(16)}\r\n${get()}\r\n0\r\n\r\n`)),
      passes('an answer that has none is cut', get(), `${inChunks}hello`, { answered: inChunks, ends: 'cut' }),
    ],
  },
  {
    section: '7.1',
    rule: 'Large sizes of chunks neither overflow nor lose digits',
    stand: 'kept',
    vectors: [
      refused('2^64', chunked('10000000000000000\r\n'), 'bad_chunk'),
      refused('2^64 and a little', chunked('10000000000000005\r\nhello\r\n0\r\n\r\n'), 'bad_chunk'),
      refused('2^53 and one', chunked('20000000000001\r\n'), 'bad_chunk'),
      passes('2^52 less one, of which some comes', chunked('fffffffffffff\r\nhello'), []),
    ],
  },
  {
    section: '7.1.1',
    rule: 'Extensions of chunks that are not known do not matter',
    stand: 'kept',
    vectors: [
      passes('a name', chunked('1;x\r\na\r\n0;y\r\n\r\n')),
      passes('a value in quotes', chunked('1;x="a;b\\"c"\r\na\r\n0\r\n\r\n')),
      refused('a line without end', chunked(`1;${'x'.repeat(5_000)}`), 'chunk_line_too_long'),
      refused('a lone LF at the end', chunked('1;x\na\r\n0\r\n\r\n'), 'bad_chunk'),
    ],
  },
  {
    section: '7.1.2',
    rule: 'Fields behind a body stay apart from those before it',
    stand: 'kept',
    vectors: [
      passes('of a request', chunked('1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n')),
      passes('of an answer', get(), `${inChunks}1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n`),
    ],
  },
  {
    section: '7.1.2',
    rule: 'They are not put into the head, unless their definition says how',
    stand: 'kept',
    vectors: [
      refused('a length', chunked('0\r\nContent-Length: 5\r\n\r\n'), 'framing_field_in_trailers'),
      refused('another host', chunked('0\r\nHost: other\r\n\r\n'), 'framing_field_in_trailers'),
      refused('who the client is', chunked('0\r\nClient-Cert: :AA==:\r\n\r\n'), 'framing_field_in_trailers'),
    ],
  },
];

export const framing9112: readonly RfcRule[] = [...framing, ...chunks];
