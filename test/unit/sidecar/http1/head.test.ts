// Request and response heads, rule by rule of RFC 9112 and RFC 9110, and what request smuggling is made of.
import { describe, expect, test } from '@jest/globals';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { headEnd, RequestHead, ResponseHead } from '../../../../sidecar/http1/head.ts';

const limits = defaultHeadLimits;

function request(text: string, changed: Partial<typeof limits> = {}) {
  const bytes = Buffer.from(text, 'latin1');
  const end = headEnd(bytes, 0, 0);
  expect(end).toBeGreaterThan(0);
  const head = new RequestHead();
  return { rule: head.read(bytes, 0, end, { ...limits, ...changed }), head };
}

function response(text: string, method = 'GET') {
  const bytes = Buffer.from(text, 'latin1');
  const head = new ResponseHead();
  return { rule: head.read(bytes, 0, headEnd(bytes, 0, 0), { method, limits }), head };
}

const get = (...lines: string[]) => `GET / HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`;

describe('a request head', () => {
  test.each([
    ['origin form', 'GET /a?b HTTP/1.1\r\nHost: web\r\n\r\n', { method: 'GET', target: '/a?b', host: 'web' }],
    ['an absolute form that agrees', 'GET http://web/a HTTP/1.1\r\nHost: WEB\r\n\r\n', { host: 'web' }],
    ['asterisk form', 'OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n', { target: '*' }],
    ['authority form', 'CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n', { method: 'CONNECT', body: 'none' }],
    ['an IPv6 host', 'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', { host: '[::1]:80' }],
    ['HTTP/1.0 without Host', 'GET / HTTP/1.0\r\n\r\n', { minor: 0, last: true }],
    ['HTTP/1.0 that stays', 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', { last: false }],
    ['close', get('Connection: Keep-Alive, cLoSe'), { last: true }],
    ['a counted body', get('content-LENGTH: \t12 '), { body: 'length', length: 12 }],
    ['a counted body of nothing', get('Content-Length: 0'), { body: 'none' }],
    ['a chunked body', get('Transfer-Encoding: Chunked'), { body: 'chunked' }],
    ['values of every octet that is allowed', get('X: \t!~\x80\xff'), { body: 'none' }],
    ['an empty value', get('X:'), { body: 'none' }],
  ])('is read with %s', (_, text, expected) => {
    const { rule, head } = request(text);
    expect(rule).toBeUndefined();
    expect(head).toMatchObject(expected);
  });

  test.each([
    ['bad_request_line', 'two blanks before the target', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_request_line', 'two blanks before the version', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_request_line', 'a blank behind the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n'],
    ['bad_request_line', 'a tab for a blank', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_request_line', 'a blank before the method', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_request_line', 'a method that is no token', 'G@T / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_version', 'no version', 'GET /\r\nHost: a\r\n\r\n'],
    ['bad_version', 'HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n'],
    ['bad_version', 'HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n'],
    ['bad_version', 'a version in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'a fragment', 'GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'a target above ASCII', 'GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'a control in the target', 'GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'a backslash in the target', 'GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'a relative target', 'GET a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'an asterisk that is no OPTIONS', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'a CONNECT without port', 'CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'another scheme', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['bad_target', 'user information', 'GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['missing_host', 'no Host', 'GET / HTTP/1.1\r\n\r\n'],
    ['repeated_host', 'two Hosts', get('Host: a')],
    ['bad_host', 'an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
    ['bad_host', 'a path in Host', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'],
    ['bad_host', 'two names in Host', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n'],
    ['bad_host', 'user information in Host', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n'],
    ['host_differs_from_target', 'another host in the target', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['folded_field', 'a folded line', get('X: a', ' b')],
    ['folded_field', 'a first line that is folded', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n'],
    ['bad_field_name', 'a blank before the colon', get('X : a')],
    ['bad_field_name', 'no colon', get('X')],
    ['bad_field_name', 'no name', get(': a')],
    ['bad_field_name', 'a NUL in a name', get('X\0: a')],
    ['bad_field_value', 'a NUL in a value', get('X: a\0b')],
    ['bad_field_value', 'a DEL in a value', get('X: a\x7fb')],
    ['bare_line_ending', 'a lone LF', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n'],
    ['bare_line_ending', 'a lone CR', get('X: a\rb')],
    ['underscore_in_field_name', 'an underscore', get('Content_Length: 5')],
    ['bad_content_length', 'a sign', get('Content-Length: +5')],
    ['bad_content_length', 'a list', get('Content-Length: 5, 5')],
    ['bad_content_length', 'hexadecimal digits', get('Content-Length: 0x5')],
    ['bad_content_length', 'nothing', get('Content-Length:')],
    ['bad_content_length', 'more than 2^53', get('Content-Length: 9007199254740993')],
    ['bad_content_length', 'a body of CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\n\r\n'],
    ['repeated_content_length', 'two equal ones', get('Content-Length: 5', 'Content-Length: 5')],
    ['content_length_with_transfer_encoding', 'both', get('Content-Length: 5', 'Transfer-Encoding: chunked')],
    [
      'content_length_with_transfer_encoding',
      'both, the other way round',
      get('Transfer-Encoding: chunked', 'Content-Length: 5'),
    ],
    ['bad_transfer_encoding', 'another coding', get('Transfer-Encoding: gzip')],
    ['bad_transfer_encoding', 'a list', get('Transfer-Encoding: gzip, chunked')],
    ['bad_transfer_encoding', 'twice', get('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['bad_transfer_encoding', 'a vertical tab', get('Transfer-Encoding: xchunked')],
    ['bad_transfer_encoding', 'identity', get('Transfer-Encoding: identity')],
    ['bad_field_value', 'a vertical tab before chunked', get('Transfer-Encoding: \x0bchunked')],
    ['transfer_encoding_in_http_1_0', 'chunked in HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['protected_field_in_connection', 'Content-Length that is taken away', get('Connection: close, Content-Length')],
    ['protected_field_in_connection', 'Host that is taken away', get('Connection: host')],
  ])('breaks %s with %s', (expected, _, text) => {
    expect(request(text).rule).toBe(expected);
  });

  test('may hold no more octets and fields than the limits say', () => {
    expect(request(get('A: b', 'C: d'), { fields: 3 }).rule).toBeUndefined();
    expect(request(get('A: b', 'C: d'), { fields: 2 }).rule).toBe('too_many_fields');
    expect(request(get('A: b'), { octets: 20 }).rule).toBe('head_too_large');
  });

  test.each([
    ['X_Y: b', undefined],
    ['Content_Type: b', undefined],
    ['Content_Length: 5', 'underscore_in_field_name'],
    ['transfer_encoding: chunked', 'underscore_in_field_name'],
    ['Client_Cert: b', 'underscore_in_field_name'],
    ['X-Forwarded_Client-Cert: b', 'underscore_in_field_name'],
  ])(
    'may hold underscores where the policy lets them pass, unless something hides behind them: %s',
    (line, expected) => {
      expect(request(get(line), { refuseUnderscores: 'disguised' }).rule).toBe(expected);
    },
  );

  test.each([
    ['with both fields', true, ['Connection: Upgrade', 'Upgrade: websocket']],
    ['not without the option', false, ['Upgrade: websocket']],
    ['not without the field', false, ['Connection: upgrade']],
  ])('asks for an upgrade %s', (_, expected, lines) => {
    expect(request(get(...lines)).head.fields.upgrade).toBe(expected);
  });

  test('holds nothing of the head before', () => {
    const head = new RequestHead();
    const read = (text: string) => head.read(Buffer.from(text, 'latin1'), 0, text.length, limits);
    expect(
      read(get('Content-Length: 5', 'Connection: close, upgrade', 'Upgrade: x', 'Expect: 100-continue')),
    ).toBeUndefined();
    expect(head).toMatchObject({ body: 'length', last: true, fields: { upgrade: true, expectContinue: true } });
    expect(read('GET /b HTTP/1.1\r\nHost: b\r\n\r\n')).toBeUndefined();
    expect(head).toMatchObject({
      body: 'none',
      length: 0,
      last: false,
      fields: { upgrade: false, expectContinue: false },
    });
  });
});

describe('a response head', () => {
  test.each([
    [
      'a counted body',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n',
      'GET',
      { body: 'length', length: 3, last: false },
    ],
    ['a chunked body', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'GET', { body: 'chunked' }],
    ['a body until the end', 'HTTP/1.1 200 OK\r\n\r\n', 'GET', { body: 'until_close', last: true }],
    ['no body to HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'HEAD', { body: 'none' }],
    ['no body in 204', 'HTTP/1.1 204 No Content\r\n\r\n', 'GET', { body: 'none' }],
    ['no body in 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n', 'GET', { body: 'none' }],
    ['an interim answer', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', 'GET', { interim: true, body: 'none' }],
    ['a change of protocols', 'HTTP/1.1 101 Switching Protocols\r\n\r\n', 'GET', { interim: false, body: 'tunnel' }],
    ['a tunnel by CONNECT', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'CONNECT', { body: 'tunnel' }],
    ['a refused CONNECT', 'HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\n', 'CONNECT', { body: 'length' }],
    ['no reason phrase', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', 'GET', { status: 200, body: 'none' }],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n', 'GET', { last: true }],
  ])('is read with %s', (_, text, method, expected) => {
    const { rule, head } = response(text, method);
    expect(rule).toBeUndefined();
    expect(head).toMatchObject(expected);
  });

  test.each([
    ['bad_version', 'ICY 200 OK\r\n\r\n'],
    ['bad_status_line', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['bad_status_line', 'HTTP/1.1 2000 OK\r\n\r\n'],
    ['bad_status_line', 'HTTP/1.1 099 OK\r\n\r\n'],
    ['bare_line_ending', 'HTTP/1.1 200 O\nK\r\n\r\n'],
    [
      'content_length_with_transfer_encoding',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
    ['repeated_content_length', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['transfer_encoding_in_http_1_0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ])('breaks %s', (rule, text) => {
    expect(response(text).rule).toBe(rule);
  });
});

test('the end of a head is found at every split', () => {
  const text = Buffer.from(get('A: b'), 'latin1');
  for (let seen = 0; seen < text.length; seen += 1) {
    expect(headEnd(text.subarray(0, seen), 0, 0)).toBe(-1);
    expect(headEnd(text, 0, seen)).toBe(text.length);
  }
});
