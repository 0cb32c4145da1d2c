// How a client of HTTP/1.1 is asked to go elsewhere (RFC 9112 section 9.6): the next answer says that it is the last one on the connection.
import { describe, expect, test } from '@jest/globals';
import { AnswerFields } from '../../../../sidecar/http1/edits.ts';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { type GateOptions, Http1Gate } from '../../../../sidecar/http1/gate.ts';
import { forbidden } from '../../../../sidecar/http1/replies.ts';
import { lend, PlayedHalf } from '../../../support/http1/application.ts';

function gate(options: Partial<GateOptions> = {}) {
  const application = new PlayedHalf();
  const half = new Http1Gate(application, {
    limits: defaultHeadLimits,
    headTimeoutMs: 10_000,
    bodyTimeoutMs: 300_000,
    ...options,
  });
  const client = { got: '', ended: false };
  half.start({
    data: (bytes) => void (client.got += Buffer.from(bytes).toString('latin1')),
    ended: () => void (client.ended = true),
    drained: () => undefined,
    closed: () => undefined,
  });
  const asks = (text: string): void => lend(text, (bytes) => void half.write(bytes, true));
  return { application, half, client, asks };
}

const get = 'GET / HTTP/1.1\r\nHost: web\r\n\r\n';
const hello = '\r\nContent-Length: 5\r\n\r\nhello';
const hsts = new AnswerFields([{ name: 'Strict-Transport-Security', value: 'max-age=60' }]);

describe('a client of HTTP/1.1 that is asked to go elsewhere', () => {
  test.each([
    ['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello'],
    [
      'HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nX: y',
      'HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello',
    ],
    ['HTTP/1.1 200 OK\r\nConnection: close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello'],
  ])('hears it with the answer to what it asks next, and then the connection ends: %j', (answer, heard) => {
    for (const before of [true, false]) {
      const { application, half, client, asks } = gate();
      if (before) half.retire();
      expect(half.phase).toBe('free');
      asks(get);
      half.retire();
      expect(half.phase).toBe('busy');
      application.says(answer + hello);
      expect(client.got).toBe(heard);
      expect([client.ended, half.phase]).toEqual([true, 'over']);
      expect(application.calls).toEqual(['end']);
    }
  });

  test('hears it beside the fields that answers get', () => {
    const { application, half, client, asks } = gate({ answerFields: hsts });
    half.retire();
    asks(get);
    application.says(`HTTP/1.1 200 OK${hello}`);
    expect(client.got).toContain('\r\nStrict-Transport-Security: max-age=60\r\nConnection: close\r\n\r\nhello');
  });

  test('hears it with the answer after the one that has begun', () => {
    const { application, half, client, asks } = gate();
    asks(get);
    application.says('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe');
    half.retire();
    application.says('llo');
    expect([client.got.includes('close'), client.ended, half.phase]).toEqual([false, false, 'free']);
    asks(get);
    application.says(`HTTP/1.1 200 OK${hello}`);
    expect([client.got.includes('Connection: close'), client.ended, half.phase]).toEqual([true, true, 'over']);
  });

  test('hears it not with an interim answer, but with the final one', () => {
    const { application, half, client, asks } = gate();
    half.retire();
    asks(get);
    application.says('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
    expect(client.got).not.toContain('close');
    application.says(`HTTP/1.1 200 OK${hello}`);
    expect(client.got.match(/Connection: close/g)).toHaveLength(1);
  });

  test('hears it with an answer of the gate, too', () => {
    const { half, client, asks } = gate({ deny: () => forbidden('denied') });
    half.retire();
    asks(get);
    expect(client.got).toMatch(/^HTTP\/1\.1 403 [^]*\r\nConnection: close\r\n/);
    expect(client.ended).toBe(true);
    half.reset();
  });

  test('gets no answer to what it has sent ahead, and so may ask for it elsewhere', () => {
    const { application, half, client, asks } = gate();
    half.retire();
    asks(get + get);
    application.says(`HTTP/1.1 200 OK${hello}`);
    expect(application.got).toBe(get);
    expect(client.got.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
  });

  test('keeps what it was upgraded to', () => {
    const { application, half, client, asks } = gate();
    asks('GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    half.retire();
    application.says('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes');
    expect(client.got).not.toContain('close');
    expect([client.ended, half.phase]).toEqual([false, 'free']);
    half.reset();
  });
});
