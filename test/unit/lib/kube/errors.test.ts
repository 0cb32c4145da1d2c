// HTTP status and Status object to the closed set of kinds.
import { describe, expect, test } from '@jest/globals';
import { errorOf, isKube, type KubeErrorKind, retryAfterMs, statusError } from '../../../../lib/kube/errors.ts';

const now = new Date('2026-01-01T00:00:00Z');
const status = (code: number, reason: string, more: object = {}) =>
  JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message: 'said so', reason, code, ...more });

describe('the errors', () => {
  test.each<[number, string, KubeErrorKind, boolean]>([
    [404, 'NotFound', 'NotFound', false],
    [409, 'AlreadyExists', 'AlreadyExists', false],
    [409, 'Conflict', 'Conflict', true],
    [410, 'Expired', 'Gone', true],
    [410, 'Gone', 'Gone', true],
    [429, 'TooManyRequests', 'Throttled', true],
    [401, 'Unauthorized', 'Unauthorized', false],
    [403, 'Forbidden', 'Forbidden', false],
    [400, 'BadRequest', 'Invalid', false],
    [415, 'UnsupportedMediaType', 'Invalid', false],
    [422, 'Invalid', 'Invalid', false],
    [500, 'InternalError', 'Unavailable', true],
    [503, 'ServiceUnavailable', 'Unavailable', true],
    [504, 'Timeout', 'Unavailable', true],
  ])('HTTP %d %s is %s, worth another try: %s', (code, reason, kind, retryable) => {
    const error = errorOf('get pods', { status: code, body: status(code, reason) }, now);
    expect(error).toMatchObject({ kind, status: code, reason, retryable, code: 'kube_request' });
    expect(error.message).toBe('get pods: said so');
    expect(isKube(error, kind)).toBe(true);
  });

  test('an answer that is no Status object keeps its HTTP status and the start of its text', () => {
    const error = errorOf('list pods', { status: 502, body: `<html>${'x'.repeat(500)}` }, now);
    expect(error.kind).toBe('Unavailable');
    expect(error.message).toMatch(/^list pods: HTTP 502 \(<html>x+\)$/);
    expect(error.message.length).toBeLessThan(260);
    expect(errorOf('list pods', { status: 404, body: '' }, now).message).toBe('list pods: HTTP 404');
  });

  test('the time to come back is read from the header first, then from the object', () => {
    const body = status(429, 'TooManyRequests', { details: { retryAfterSeconds: 3 } });
    expect(errorOf('x', { status: 429, body }, now).retryAfterMs).toBe(3_000);
    expect(errorOf('x', { status: 429, body, retryAfter: '7' }, now).retryAfterMs).toBe(7_000);
    expect(errorOf('x', { status: 429, body: '' }, now).retryAfterMs).toBeUndefined();
  });

  test.each([
    ['2', 2_000],
    ['0', 0],
    ['-5', 0],
    ['Thu, 01 Jan 2026 00:00:10 GMT', 10_000],
    ['Thu, 01 Jan 2020 00:00:10 GMT', 0],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('Retry-After %p is %p ms', (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });

  test('the ERROR line of a watch is judged the same way', () => {
    expect(statusError('watch pods', { code: 410, reason: 'Expired', message: 'too old' }).kind).toBe('Gone');
    expect(statusError('watch pods', {}).kind).toBe('Unavailable');
  });

  test('other errors are of no kind', () => {
    expect(isKube(new Error('NotFound'), 'NotFound')).toBe(false);
    expect(isKube(undefined, 'NotFound')).toBe(false);
  });
});
