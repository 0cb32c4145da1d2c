// RFC 9112 sections 2 to 5: the form of messages, request lines, status lines and field lines.
import { answer, badAnswer, get, ok, passes, type RfcRule, refused, request } from './vector.ts';

const long = 'a'.repeat(40_000);

export const messages9112: readonly RfcRule[] = [
  {
    section: '2.2',
    rule: 'Messages are octets in an encoding above US-ASCII, never characters of a locale',
    stand: 'kept',
    vectors: [
      passes('octets above ASCII in a value', get('X: \xc3\xa9\xff\xa0')),
      passes('octets above ASCII in an answer', get(), answer('HTTP/1.1 200 \xe9', 'X: \xff', 'Content-Length: 0')),
      refused('octets above ASCII in a target', request('GET /\xc3\xa9 HTTP/1.1'), 'bad_target'),
      refused('an octet above ASCII in a field name', get('X\xe9: a'), 'bad_field_name'),
    ],
  },
  {
    section: '2.2',
    rule: 'A CR that no LF follows makes an element invalid, and none is sent',
    stand: 'kept',
    vectors: [
      refused('in the request line', request('GET /\r HTTP/1.1'), 'bad_version'),
      refused('behind the version', 'GET / HTTP/1.1\rHost: web\r\n\r\n', 'bad_request_line'),
      refused('in a field name', get('X\rY: a'), 'bare_line_ending'),
      refused('in a field value', get('X: a\rb'), 'bare_line_ending'),
      badAnswer('in a status line', answer('HTTP/1.1 200 O\rK'), 'bare_line_ending'),
      badAnswer('in a field of an answer', answer('HTTP/1.1 200 OK', 'X: a\rb'), 'bare_line_ending'),
    ],
  },
  {
    section: '2.2',
    rule: 'Lines with blanks in front between the first line and the first field are refused or passed over',
    stand: 'kept',
    vectors: [
      refused('a blank', 'GET / HTTP/1.1\r\n Host: web\r\n\r\n', 'folded_field'),
      refused('a tab', 'GET / HTTP/1.1\r\n\tX: a\r\nHost: web\r\n\r\n', 'folded_field'),
      refused('blanks and nothing else', 'GET / HTTP/1.1\r\n \r\nHost: web\r\n\r\n', 'folded_field'),
      badAnswer('in an answer', answer('HTTP/1.1 200 OK', ' X: a'), 'folded_field'),
    ],
  },
  {
    section: '2.3',
    rule: 'Who forwards a message says a version of HTTP of its own',
    stand: 'left',
    why: 'Nothing in the message is written anew, so the version that its writer has is the one that tells the truth of it',
    vectors: [
      passes('a request of HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', ok, { ends: 'in order' }),
      passes('an answer of HTTP/1.0', get(), answer('HTTP/1.0 200 OK', 'Content-Length: 0'), { ends: 'in order' }),
    ],
  },
  {
    section: '3',
    rule: 'A target that is longer than the server will read gets 414',
    stand: 'kept',
    vectors: [
      refused('whole', request(`GET /${long} HTTP/1.1`), 'target_too_long', 414),
      refused('without end', `GET /${long}`, 'target_too_long', 414),
    ],
  },
  {
    section: '3.2',
    rule: 'A request of HTTP/1.1 without Host, and any request with two of them or with one that is no host, gets 400',
    stand: 'kept',
    vectors: [
      refused('none', 'GET / HTTP/1.1\r\n\r\n', 'missing_host'),
      refused('none beside a whole URL', 'GET http://web/ HTTP/1.1\r\n\r\n', 'missing_host'),
      refused('two', get('Host: other'), 'repeated_host'),
      refused('two equal ones', get('Host: web'), 'repeated_host'),
      refused('two in HTTP/1.0', 'GET / HTTP/1.0\r\nHost: web\r\nHost: other\r\n\r\n', 'repeated_host'),
      refused('two in one line', 'GET / HTTP/1.1\r\nHost: web, other\r\n\r\n', 'bad_host'),
      refused('a path', 'GET / HTTP/1.1\r\nHost: web/x\r\n\r\n', 'bad_host'),
      refused('a URL', 'GET / HTTP/1.1\r\nHost: http://web\r\n\r\n', 'bad_host'),
      refused('a blank inside', 'GET / HTTP/1.1\r\nHost: web other\r\n\r\n', 'bad_host'),
      refused('a port that is no number', 'GET / HTTP/1.1\r\nHost: web:http\r\n\r\n', 'bad_host'),
      refused('a bracket that stays open', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n', 'bad_host'),
      passes('none in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', ok, { ends: 'in order' }),
      passes('one with a port', 'GET / HTTP/1.1\r\nHost: web:8080\r\n\r\n'),
      passes('an IPv6 address', 'GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n'),
    ],
  },
  {
    section: '3.2',
    rule: 'Host is empty where the URL has no authority',
    stand: 'stricter',
    why: 'URLs of http and https always have one (RFC 9110 section 4.2), and an empty Host leaves open for whom a request is',
    vectors: [refused('an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 'bad_host')],
  },
  {
    section: '3.2.2',
    rule: 'A whole URL as target is accepted',
    stand: 'kept',
    vectors: [
      passes('with the same Host', request('GET http://web/x?y HTTP/1.1')),
      passes('with the same Host in capitals', request('GET HTTP://WEB/x HTTP/1.1')),
      passes('without a path', request('GET http://web HTTP/1.1')),
      passes('in HTTP/1.0 without Host', 'GET http://web/ HTTP/1.0\r\n\r\n', ok, { ends: 'in order' }),
    ],
  },
  {
    section: '3.2.2',
    rule: 'The host of such a URL counts and Host does not; a proxy writes Host anew',
    stand: 'stricter',
    why: 'A request that names two hosts is refused: applications do not agree about which of them counts',
    vectors: [
      refused('another Host', request('GET http://other/ HTTP/1.1'), 'host_differs_from_target'),
      refused('another port', request('GET http://web:8080/ HTTP/1.1'), 'host_differs_from_target'),
    ],
  },
  {
    section: '3.2.4',
    rule: 'The last proxy makes `*` of an OPTIONS for a URL without path and query',
    stand: 'left',
    why: 'A gate is no proxy that clients choose: the application reads whole URLs itself',
    vectors: [
      passes('a URL without path', request('OPTIONS http://web HTTP/1.1')),
      passes('an asterisk', request('OPTIONS * HTTP/1.1')),
    ],
  },
  {
    section: '4',
    rule: 'A status line has the blank behind the status also where no phrase follows',
    stand: 'left',
    why: "The application's octets go on; clients read the line without the blank, too. Answers of the gate have a phrase",
    vectors: [
      passes('the blank alone', get(), answer('HTTP/1.1 200 ', 'Content-Length: 0')),
      passes('no blank', get(), answer('HTTP/1.1 200', 'Content-Length: 0')),
    ],
  },
  {
    section: '5.1',
    rule: 'Blanks between the name of a field and the colon get 400',
    stand: 'kept',
    vectors: [
      refused('a blank', get('X : a'), 'bad_field_name'),
      refused('a tab', get('X\t: a'), 'bad_field_name'),
      refused('a blank behind Content-Length', get('Content-Length : 0'), 'bad_field_name'),
      refused('a blank behind Transfer-Encoding', get('Transfer-Encoding : chunked'), 'bad_field_name'),
    ],
  },
  {
    section: '5.1',
    rule: 'In answers a proxy takes such blanks out',
    stand: 'stricter',
    why: 'They get 502: no server that is in use sends them but one that was made to',
    vectors: [badAnswer('a blank', answer('HTTP/1.1 200 OK', 'Content-Length : 0'), 'bad_field_name')],
  },
  {
    section: '5.2',
    rule: 'A field that goes on in the next line gets 400 in a request and 502 in an answer, or blanks in its place',
    stand: 'kept',
    vectors: [
      refused('by a blank', get('X: a', ' b'), 'folded_field'),
      refused('by a tab', get('X: a', '\tb'), 'folded_field'),
      refused('Transfer-Encoding', get('Transfer-Encoding:', ' chunked'), 'bad_transfer_encoding'),
      badAnswer('in an answer', answer('HTTP/1.1 200 OK', 'X: a', ' b', 'Content-Length: 0'), 'folded_field'),
    ],
  },
  {
    section: '5.2',
    rule: 'Nobody sends such lines',
    stand: 'kept',
    why: 'Those of others are refused, and those of a gate are constants or were checked by the policy',
    vectors: [],
  },
];
