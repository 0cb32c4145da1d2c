// Log lines: their shape, what never appears in them, and a level that may change.
import { Writable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { createLogger, type LogLevel, setLevel } from '../../../../lib/runtime/logger.ts';

function logging(level: LogLevel = 'info') {
  const lines: Record<string, unknown>[] = [];
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    lines.push(JSON.parse(chunk.toString()));
    done();
  };
  return { lines, logger: createLogger({ name: 'operator', level, destination: new Writable({ write }) }) };
}

describe('the logger', () => {
  test('writes level as a word, time as ISO and the process', () => {
    const { lines, logger } = logging();
    logger.info({ key: undefined, pod: 'web-0' }, 'injected');
    expect(lines[0]).toMatchObject({ level: 'info', process: 'operator', pod: 'web-0', msg: 'injected' });
    expect(lines[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test('an error keeps its code and its cause', () => {
    const { lines, logger } = logging();
    logger.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed');
    expect(JSON.stringify(lines[0])).toContain('inner');
  });

  test.each([
    ['authorization', { authorization: 'S3CRET' }],
    ['headers.authorization', { headers: { authorization: 'S3CRET' } }],
    ['token', { user: { token: 'S3CRET' } }],
    ['key', { pair: { key: 'S3CRET' } }],
    ['tls.key of a Secret', { secret: { data: { 'tls.key': 'S3CRET' } } }],
    ['stringData of a Secret', { secret: { stringData: { a: 'S3CRET' } } }],
    ['privateKey', { a: { b: { privateKey: 'S3CRET' } } }],
    ['password', { password: 'S3CRET' }],
  ])('never shows %s', (_, fields) => {
    const { lines, logger } = logging();
    logger.child({ part: 'x' }).warn(fields, 'message');
    expect(JSON.stringify(lines)).not.toContain('S3CRET');
    expect(JSON.stringify(lines)).toContain('[redacted]');
  });

  test.each([
    ['an error carries', { err: Object.assign(new Error('refused'), { token: 'S3CRET', why: 'kept' }) }],
    ['lies in a member of an error', { err: Object.assign(new Error('refused'), { request: { cookie: 'S3CRET' } }) }],
    ['an error of another name carries', { reason: Object.assign(new Error('refused'), { password: 'S3CRET' }) }],
    ['a list holds', { items: [{ key: 'S3CRET' }, { kept: 1 }] }],
    [
      'a class holds',
      {
        held: new (class {
          token = 'S3CRET';
          other = 1;
        })(),
      },
    ],
  ])('never shows what %s', (_, fields) => {
    const { lines, logger } = logging();
    logger.warn(fields, 'message');
    expect(JSON.stringify(lines)).not.toContain('S3CRET');
    expect(JSON.stringify(lines)).toContain('[redacted]');
    expect(JSON.stringify(fields)).not.toContain('[redacted]');
  });

  test('never shows what a child was made with', () => {
    const { lines, logger } = logging();
    logger.child({ token: 'S3CRET', part: 'x' }).child({ 'tls.key': 'S3CRET' }).info('message');
    expect(lines).toMatchObject([{ token: '[redacted]', 'tls.key': '[redacted]', part: 'x' }]);
  });

  test('never shows what lies in a member that a child, or a child of that, was made with', () => {
    const { lines, logger } = logging();
    const err = Object.assign(new Error('refused'), { token: 'S3CRET' });
    const child = logger.child({ user: { token: 'S3CRET', name: 'kept' } });
    child.info('message');
    child.child({ secret: { data: { 'tls.key': 'S3CRET' } } }, { level: 'debug' }).debug('message');
    child.child({ err }).info('message');
    child.setBindings({ pair: { key: 'S3CRET' } });
    child.info('message');
    expect(JSON.stringify(lines)).not.toContain('S3CRET');
    expect(lines).toMatchObject([
      { user: { token: '[redacted]', name: 'kept' } },
      { user: { token: '[redacted]' }, secret: { data: { 'tls.key': '[redacted]' } } },
      { err: { message: 'refused', token: '[redacted]' } },
      { user: { name: 'kept' }, pair: { key: '[redacted]' } },
    ]);
  });

  test('leaves what holds no secret as it is', () => {
    const { lines, logger } = logging();
    const at = new Date(0);
    logger.info(
      { at, list: ['a', 'b'], deep: { er: { and: { deeper: { token: 'far' } } } }, none: null, n: 1 },
      'message',
    );
    expect(lines[0]).toMatchObject({ at: at.toISOString(), list: ['a', 'b'], none: null, n: 1 });
    expect(lines[0]?.['deep']).toEqual({ er: { and: { deeper: { token: 'far' } } } });
  });

  test('a new level reaches the children that exist and those to come', () => {
    const { lines, logger } = logging('info');
    const child = logger.child({ part: 'a' });
    const grandchild = child.child({ step: 'b' });
    for (const each of [logger, child, grandchild]) each.debug('hidden');
    setLevel(logger, 'debug');
    for (const each of [logger, child, grandchild, logger.child({})]) each.debug('shown');
    setLevel(logger, 'error');
    for (const each of [logger, child, grandchild]) each.warn('hidden');
    expect(lines.map((line) => line['msg'])).toEqual(['shown', 'shown', 'shown', 'shown']);
  });
});
