// The authorization commands on lists as the API server gives them. What people see is kept in test/golden/cli and rewritten by
// `UPDATE_GOLDEN=1`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { ExitCode, OptionValues } from '../../../cli/command.ts';
import { findCommand } from '../../../cli/commands.ts';
import type { TLSPolicySpec } from '../../../lib/api/tlspolicy.ts';
import type { Pod } from '../../../lib/kube/object.ts';
import type { Connection } from '../../../lib/kube/rest.ts';
import { testBaseline, testRole } from '../../support/baselines.ts';
import { TestClock } from '../../support/clock.ts';
import { pod as meshPod } from '../../support/meshbench.ts';
import { testPolicy } from '../../support/policies.ts';

const golden = resolve(import.meta.dirname, '../../golden/cli');

function pod(namespace: string, name: string, ip: string, serviceAccountName = 'default'): Pod {
  const made = meshPod({ name, namespace, ips: [ip] });
  const [app = name] = name.split('-');
  return {
    ...made,
    metadata: { ...made.metadata, labels: { ...made.metadata.labels, app } },
    spec: { containers: [], ...made.spec, serviceAccountName },
    status: { ...made.status, podIP: ip },
  };
}

const spec: TLSPolicySpec = {
  selector: { matchLabels: { app: 'api' } },
  ports: [{ port: 9090, mode: 'ServerOnly' }],
  authorization: {
    rules: [
      { name: 'web', from: [{ services: ['web'] }], to: [{ ports: [8080] }] },
      { name: 'front', from: [{ serviceAccounts: ['front'], namespaces: ['pay'] }], to: [{ ports: [8081] }] },
      { name: 'metrics', from: [{ ipBlocks: ['10.0.9.0/24'] }], roles: ['metrics'] },
      { name: 'no-batch', effect: 'Deny', from: [{ services: ['batch'] }] },
      { name: 'try', effect: 'Deny', audit: true, from: [{ services: ['web'] }] },
    ],
  },
};
const requests: TLSPolicySpec = {
  selector: { matchLabels: { app: 'till' } },
  authorization: {
    rules: [
      { name: 'reads', to: [{ methods: ['GET'], paths: ['/items/*'] }] },
      { name: 'team', when: 'request.headers["x-team"] == "a"' },
      { name: 'no-admin', effect: 'Deny', to: [{ paths: ['/admin/*'] }] },
    ],
  },
};
const hits = [
  { name: 'web', since: '2026-01-01T00:00:00Z', lastHit: '2026-11-20T00:00:00Z' },
  { name: 'front', since: '2026-01-01T00:00:00Z', lastHit: '2026-03-01T00:00:00Z' },
  { name: 'metrics', since: '2026-01-01T00:00:00Z' },
  { name: 'no-batch', since: '2026-11-20T00:00:00Z' },
];

const lists: Readonly<Record<string, readonly unknown[]>> = {
  tlspolicies: [
    { ...testPolicy('api', spec), status: { rules: hits } },
    { ...testPolicy('till', requests), metadata: { ...testPolicy('till').metadata, namespace: 'pay' } },
  ],
  services: [
    {
      metadata: { name: 'till', namespace: 'pay' },
      spec: { selector: { app: 'till' }, ports: [{ port: 80, targetPort: 8080, appProtocol: 'http' }] },
    },
  ],
  tlsbaselines: [
    testBaseline('floor', { authorization: { rules: [{ name: 'no-dev', from: [{ namespaces: ['dev'] }] }] } }),
  ],
  tlsroles: [testRole('metrics', [{ ports: [9090] }])],
  pods: [
    pod('shop', 'web-1', '10.0.0.1'),
    pod('shop', 'api-1', '10.0.0.2'),
    pod('shop', 'batch-1', '10.0.0.3'),
    pod('pay', 'till-1', '10.0.1.1', 'front'),
    pod('dev', 'job-1', '10.0.9.9'),
    pod('ops', 'prom-1', '10.0.9.1'),
    pod('ops', 'prom-2', '10.0.8.1'),
  ],
};

/** Runs a command line on these lists; what it printed and how it ended. */
async function run(
  line: string,
  options: OptionValues = {},
): Promise<{ readonly code: ExitCode; readonly text: string }> {
  const found = findCommand(line.split(' '));
  if (found === undefined) throw new Error(`no such command: ${line}`);
  const out: string[] = [];
  const list = ({ plural }: { readonly plural: string }) => Promise.resolve({ items: lists[plural] ?? [] });
  const connection = { client: { list }, namespace: 'shop', close: () => undefined } as unknown as Connection;
  const code = await found.command.run({
    terminal: {
      out: (text) => void out.push(text),
      err: (text) => void out.push(`! ${text}`),
      ask: () => Promise.resolve(undefined),
    },
    clock: new TestClock('2026-11-22T00:00:00Z'),
    options,
    words: found.rest,
    cluster: () => connection,
    signal: new AbortController().signal,
  });
  return { code, text: `${out.join('\n')}\n` };
}

function expectGolden(name: string, text: string): void {
  const path = `${golden}/${name}.txt`;
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(golden, { recursive: true });
    writeFileSync(path, text);
  }
  expect(text).toBe(readFileSync(path, 'utf8'));
}

describe('what people see', () => {
  test.each<readonly [string, string, OptionValues, ExitCode]>([
    ['explain-allowed', 'authz explain web api', { port: '8080' }, 0],
    ['explain-other-port', 'authz explain web api', { port: '9090' }, 1],
    ['explain-denied', 'authz explain batch shop/api', { port: '8080' }, 1],
    ['explain-baseline', 'authz explain dev/job shop/api', { port: '9090' }, 1],
    ['explain-account', 'authz explain pay/till api', { port: '8081' }, 0],
    ['explain-addresses', 'authz explain ops/prom api', { port: '9090' }, 1],
    ['explain-ip', 'authz explain anonymous api', { port: '9090', ip: '10.0.9.7' }, 0],
    ['explain-anonymous', 'authz explain anonymous api', { port: '8080', ip: '10.0.9.7' }, 1],
    ['explain-no-rules', 'authz explain api web', { port: '80' }, 0],
    ['explain-depends', 'authz explain web pay/till', { port: '8080' }, 0],
    ['explain-request', 'authz explain web pay/till', { port: '8080', path: '/items/7?x=1' }, 0],
    ['explain-request-denied', 'authz explain web pay/till', { port: '8080', path: '/Admin/x', method: 'POST' }, 1],
    ['explain-ambiguous', 'authz explain web pay/till', { port: '8080', path: '/items/../admin' }, 1],
    ['explain-condition', 'authz explain web pay/till', { port: '8080', headers: '{"X-Team": "a"}' }, 0],
    ['explain-not-http', 'authz explain web pay/till', { port: '9000', path: '/items/7' }, 1],
    ['who-can', 'authz who-can api', {}, 0],
    ['who-can-some', 'authz who-can pay/till', {}, 0],
    ['who-can-request', 'authz who-can pay/till', { method: 'GET', path: '/items/7' }, 0],
    ['who-can-request-denied', 'authz who-can pay/till', { method: 'GET', path: '/admin/x' }, 0],
    ['matrix', 'authz matrix', {}, 0],
    ['matrix-request', 'authz matrix', { 'all-namespaces': true, method: 'PUT', path: '/items/7' }, 0],
    ['unused', 'authz unused', { 'all-namespaces': true }, 1],
  ])('of %s', async (name, line, options, code) => {
    const done = await run(line, options);
    expectGolden(name, done.text);
    expect(done.code).toBe(code);
  });
});

describe('what programs read', () => {
  test('of an explanation says the rule and every rule asked', async () => {
    const { text } = await run('authz explain web api', { port: '8080', output: 'json' });
    expect(JSON.parse(text)).toMatchObject({
      from: 'spiffe://cluster.local/ns/shop/svc/web',
      allowed: true,
      answers: [{ policy: 'shop/api', mode: 'Mutual', rule: 'web', ifAuditsHeld: 'denied' }],
    });
  });

  test('of a matrix is one entry per pair', async () => {
    const { text } = await run('authz matrix', { output: 'json', 'all-namespaces': true });
    const grants = JSON.parse(text) as readonly {
      readonly from: string;
      readonly to: string;
      readonly ports: string;
    }[];
    expect(grants).toHaveLength(7 * 6);
    expect(grants).toContainEqual({ from: 'shop/web', to: 'shop/api', ports: '8080' });
    expect(grants).toContainEqual({ from: 'dev/job', to: 'pay/till', ports: '-' });
    expect(grants).toContainEqual({ from: '(no identity)', to: 'pay/till', ports: '-' });
  });
});

describe('a command line that cannot be carried out', () => {
  test.each<readonly [string, OptionValues, string]>([
    ['authz explain web api', {}, '--port is missing'],
    ['authz explain web api', { port: '0' }, '--port takes 1 to 65535'],
    ['authz explain web api', { port: '80', ip: 'x' }, '--ip takes an IP address'],
    ['authz explain web gone', { port: '80' }, 'there is no injected pod of service "gone" in namespace "shop"'],
    ['authz explain a/b/c api', { port: '80' }, 'is not SERVICE or NAMESPACE/SERVICE'],
    ['authz explain We api', { port: '80' }, 'is not a service, a SPIFFE ID or "anonymous"'],
    ['authz explain spiffe://x api', { port: '80' }, 'is not a SPIFFE ID'],
    ['authz explain web api', { port: '80', headers: '[]' }, '--headers takes a JSON object'],
    ['authz explain web api', { port: '80', claims: '{' }, '--claims takes a JSON object'],
    ['authz unused', { days: '0' }, '--days takes a whole number'],
  ])('%s %j is told what is wrong', async (line, options, says) => {
    await expect(run(line, options)).rejects.toThrow(says);
  });
});
