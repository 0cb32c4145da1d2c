import { describe, expect, test } from '@jest/globals';
import { ProbeRunner, parseProbes } from '../../../sidecar/probes.ts';

const http = { kind: 'http', scheme: 'HTTP', port: 80, path: '/', headers: [{ name: 'a', value: 'b' }] };
const probe = (action: unknown, changes: object = {}): string =>
  JSON.stringify([{ id: 'app/liveness', timeoutMs: 1000, action, ...changes }]);

describe('parseProbes', () => {
  test.each([
    ['none', '[]'],
    ['an http probe', probe(http)],
    ['a tcp probe', probe({ kind: 'tcp', port: 80 })],
    ['a grpc probe', probe({ kind: 'grpc', port: 80, service: '' })],
  ])('reads %s', (_name, text) => {
    expect(parseProbes(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ['what is no JSON', '['],
    ['what is no list', '{}'],
    ['null', '[null]'],
    ['a probe without an id', probe(http, { id: 7 })],
    ['a probe without a timeout', probe(http, { timeoutMs: '1s' })],
    ['a probe without an action', probe(undefined)],
    ['an action of an unknown kind', probe({ kind: 'exec', port: 1 })],
    ['an action without a port', probe({ kind: 'tcp' })],
    ['an http action without a path', probe({ ...http, path: undefined })],
    ['an http action of an unknown scheme', probe({ ...http, scheme: 'FTP' })],
    ['an http action with headers that are none', probe({ ...http, headers: [{ name: 'a' }] })],
    ['a grpc action without a service', probe({ kind: 'grpc', port: 1 })],
  ])('refuses %s', (_name, text) => {
    expect(() => parseProbes(text)).toThrow(/the list of probes/);
  });
});

describe('ProbeRunner', () => {
  test('tells hooks from probes', () => {
    const runner = new ProbeRunner({ probes: [], podIps: [] });
    const ids = ['app/preStop', 'app/postStart', 'app/preStop/x7f3', 'preStop/liveness', 'app/readiness'];
    expect(ids.map((id) => runner.isHook(id))).toEqual([true, true, true, false, false]);
  });

  test('knows only the ids of its own pod', async () => {
    const runner = new ProbeRunner({ probes: [], podIps: ['127.0.0.1'] });
    expect(await runner.run('app/liveness')).toBeUndefined();
  });
});
