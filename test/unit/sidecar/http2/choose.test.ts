// Which gate a connection gets, by what its client says first, and what becomes of what the application says before that.
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { defaultHeadLimits } from '../../../../sidecar/http1/fields.ts';
import { Http1Gate } from '../../../../sidecar/http1/gate.ts';
import { ChosenGate } from '../../../../sidecar/http2/choose.ts';
import { preface } from '../../../../sidecar/http2/codes.ts';
import type { Half } from '../../../../sidecar/relay/half.ts';
import { lend, PlayedHalf } from '../../../support/http1/application.ts';

afterEach(() => void jest.useRealTimers());

function chosen() {
  const application = new PlayedHalf();
  const made: string[] = [];
  const asked: string[] = [];
  const told: string[] = [];
  const client = { got: '' };
  const gate = (name: string) => (half: Half) => {
    made.push(name);
    return {
      half,
      recheck: () => 'denied' as const,
      requests: { retire: () => void asked.push(name), phase: 'busy' as const, lapse: () => undefined },
    };
  };
  const half = new ChosenGate(application, { http1: gate('HTTP/1.1'), http2: gate('HTTP/2') }, 10_000);
  half.start({
    data: (bytes) => void (client.got += Buffer.from(bytes).toString('latin1')),
    ended: () => void told.push('ended'),
    drained: () => void told.push('drained'),
    closed: (reason) => void told.push(`closed ${reason ?? 'in order'}`),
  });
  const sends = (text: string): void => lend(text, (bytes) => void half.write(bytes, true));
  return { half, application, made, asked, told, client, sends };
}

describe('the first octets tell', () => {
  test.each([
    ['GET / HTTP/1.1\r\n', 'HTTP/1.1'],
    ['POST / HTTP/1.1\r\n', 'HTTP/1.1'],
    ['PRINT / HTTP/1.1\r\n', 'HTTP/1.1'],
    ['PRI / HTTP/1.1\r\n', 'HTTP/1.1'],
    ['\x16\x03\x01', 'HTTP/1.1'],
    [preface.toString('latin1'), 'HTTP/2'],
  ])('%j is %s, in one piece and octet by octet', (text, version) => {
    for (const size of [text.length, 1]) {
      const { sends, made, application, half } = chosen();
      expect(half.recheck()).toBeUndefined();
      for (let at = 0; at < text.length; at += size) sends(text.slice(at, at + size));
      expect(made).toEqual([version]);
      expect(application.got).toBe(text);
      expect(half.recheck()).toBe('denied');
    }
  });

  test('and whoever has said none is asked to go elsewhere once it is known how', () => {
    const { half, sends, asked } = chosen();
    half.retire();
    expect([half.phase, asked]).toEqual(['free', []]);
    sends('GET / HTTP/1.1\r\n');
    half.retire();
    expect([half.phase, asked]).toEqual(['busy', ['HTTP/1.1']]);
  });

  test('too few of them end the connection after a time', () => {
    jest.useFakeTimers();
    const { sends, application, made } = chosen();
    sends('PRI');
    jest.advanceTimersByTime(9_999);
    expect(application.calls).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(application.calls).toEqual(['reset']);
    expect(made).toEqual([]);
  });
});

describe('an application that speaks first', () => {
  test('is heard once it is known by whom, and in its order', () => {
    const { sends, application, client } = chosen();
    application.says('SETTINGS');
    application.says(' and more');
    expect(client.got).toBe('');
    sends(preface.toString('latin1'));
    expect(client.got).toBe('SETTINGS and more');
    application.says(', and then');
    expect(client.got).toBe('SETTINGS and more, and then');
  });

  test('is never taken for an answer to what is asked later', () => {
    const application = new PlayedHalf();
    const broken: string[] = [];
    const http1 = (inner: Half) => {
      const options = { limits: defaultHeadLimits, headTimeoutMs: 10_000, bodyTimeoutMs: 10_000 };
      const gate = new Http1Gate(inner, { ...options, broken: ({ rule }) => broken.push(rule) });
      return { half: gate, recheck: () => undefined, requests: gate };
    };
    const half = new ChosenGate(application, { http1, http2: http1 }, 10_000);
    let got = '';
    let ended = false;
    half.start({
      data: (bytes) => void (got += Buffer.from(bytes).toString('latin1')),
      ended: () => void (ended = true),
      drained: () => undefined,
      closed: () => undefined,
    });
    application.says('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    lend('GET / HTTP/1.1\r\nHost: web\r\n\r\n', (bytes) => void half.write(bytes, true));
    expect(broken).toEqual(['unasked_response']);
    // What the application said came before anybody asked: the connection ends, and the client may ask again on another.
    expect([got, ended]).toEqual(['', true]);
    expect(application.got).toBe('');
    half.reset();
  });

  test('and one that ends before anybody has asked is heard at once', () => {
    const { application, told } = chosen();
    application.events?.ended();
    application.events?.closed();
    expect(told).toEqual(['ended', 'closed in order']);
  });
});
