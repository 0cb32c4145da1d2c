// The operator and the webhook as real processes under the accounts that the chart makes, on an API server that enforces
// RBAC: everything that they must do works, and nothing that they try is forbidden.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { freePort } from '../../../hack/cluster/controlplane.ts';
import { leashed } from '../../../hack/leash.ts';
import { webhookEntries } from '../../../webhook/configuration.ts';
import { chart, type Helm, openHelm } from '../../support/helm.ts';

jest.setTimeout(120_000);

const root = resolve(import.meta.dirname, '../../..');
const namespace = 'tabard-system';
const folder = mkdtempSync(join(tmpdir(), 'tabard-rights-'));
let api: ControlPlane;
let helm: Helm;
let operator: Part;
let webhook: Part;

interface Part {
  readonly child: ChildProcess;
  /** What it logged so far, one object per line. */
  readonly lines: () => readonly string[];
  /** What its readiness says. */
  readonly ready: () => Promise<string>;
}

beforeAll(async () => {
  api = await startControlPlane({ controllerManager: true });
  helm = await openHelm(api.kubeconfig);
  await helm.ok(
    'install',
    'tabard',
    chart,
    '-n',
    namespace,
    '--create-namespace',
    '--set',
    'testing.minimumLifetime=30s',
  );
  operator = await start('operator', { TABARD_MINIMUM_LIFETIME: '30s', TABARD_CONTROL_PORT: '0' });
  webhook = await start('webhook', {
    TABARD_IMAGE: 'tabard.dev/tabard:0.1.0',
    TABARD_WEBHOOK_PORT: '0',
    TABARD_DRAIN: '0s',
  });
}, 900_000);

afterAll(async () => {
  for (const part of [operator, webhook]) {
    if (part === undefined || part.child.exitCode !== null) continue;
    part.child.kill('SIGTERM');
    await once(part.child, 'exit');
  }
  helm?.close();
  await api?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a part under its own service account, with a token as the kubelet would give it. */
async function start(name: 'operator' | 'webhook', env: Readonly<Record<string, string>>): Promise<Part> {
  const token = (await api.kubectl(['create', 'token', `tabard-${name}`, '-n', namespace, '--duration', '1h'])).trim();
  const kubeconfig = join(folder, `${name}.json`);
  const cluster = { server: api.server, 'certificate-authority-data': readFileSync(api.ca).toString('base64') };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  const port = await freePort();
  const all = { KUBECONFIG: kubeconfig, TABARD_NAMESPACE: namespace, TABARD_POD_NAME: `tabard-${name}-0`, ...env };
  const child = spawn(
    ...leashed(process.execPath, ['--disable-warning=ExperimentalWarning', `${root}/${name}/main.ts`]),
    {
      env: { ...all, TABARD_ADMIN_PORT: String(port), TABARD_CRL_PORT: '0', TABARD_LOG_LEVEL: 'debug' },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => (text += part));
  const ready = () =>
    fetch(`http://127.0.0.1:${port}/ready`, { signal: AbortSignal.timeout(2_000) }).then(
      (response) => response.text(),
      (error: unknown) => String(error),
    );
  return { child, lines: () => text.split('\n'), ready };
}

/** What `look` gives when it is the wanted answer, or after a while whatever it is. */
async function eventually<T>(look: () => Promise<T>, wanted: (seen: T) => boolean): Promise<T> {
  const deadline = Date.now() + 60_000;
  let seen = await look();
  while (!wanted(seen) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    seen = await look();
  }
  return seen;
}

/** What kubectl prints, or its complaint. */
const get = (...args: readonly string[]): Promise<string> =>
  api.kubectl(['get', ...args]).catch((error: unknown) => String(error));

describe('under the account of the chart', () => {
  test('the webhook makes its certificate, publishes its CA in every entry and gets ready', async () => {
    expect(await eventually(webhook.ready, (text) => text === 'ok\n')).toBe('ok\n');
    const bundles = await get(
      'mutatingwebhookconfiguration',
      'tabard-webhook',
      '-o',
      'jsonpath={.webhooks[*].clientConfig.caBundle}',
    );
    expect(bundles.split(' ').filter((bundle) => bundle.startsWith('LS0t'))).toHaveLength(
      webhookEntries('tabard-system').length,
    );
    expect(await get('secret', 'tabard-webhook-tls', '-n', namespace, '-o', 'name')).toBe(
      'secret/tabard-webhook-tls\n',
    );
  });

  test('an upgrade leaves what the webhook published', async () => {
    const bundle = () =>
      get('mutatingwebhookconfiguration', 'tabard-webhook', '-o', 'jsonpath={.webhooks[0].clientConfig.caBundle}');
    const before = await bundle();
    await helm.ok('upgrade', 'tabard', chart, '-n', namespace, '--set', 'testing.minimumLifetime=30s,commonLabels.a=b');
    expect(await bundle()).toBe(before);
    const webhooks = () => get('mutatingwebhookconfiguration', 'tabard-webhook', '-o', 'jsonpath={.metadata.labels.a}');
    expect(await webhooks()).toBe('b');
  });

  test('the operator leads, makes the CA and the issuer, and gets ready', async () => {
    expect(await eventually(operator.ready, (text) => text === 'ok\n')).toBe('ok\n');
    const issuer = () => get('tlsissuer', 'cluster', '-o', 'jsonpath={.status.conditions[?(@.type=="Ready")].status}');
    expect(await eventually(issuer, (text) => text === 'True')).toBe('True');
    expect(await get('secret', 'tabard-ca', '-n', namespace, '-o', 'name')).toBe('secret/tabard-ca\n');
    expect(await get('leases', '-n', namespace, '-o', 'name')).toContain('tabard');
  });

  test('the operator issues for the pods of a workload, which owns the Secret, and says so in the policy', async () => {
    const labels = { app: 'web', 'tabard.dev/injected': 'true' };
    const annotations = { 'tabard.dev/service': 'web' };
    const spec = { containers: [{ name: 'web', image: 'web' }] };
    const objects = [
      {
        apiVersion: 'tabard.dev/v1alpha1',
        kind: 'TLSPolicy',
        metadata: { name: 'all' },
        spec: { certificate: { lifetime: '30s' } },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'web' },
        spec: { selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels, annotations }, spec } },
      },
    ];
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    await api.kubectl(['apply', '-n', 'default', '-f', '-'], { input });
    const owner = () =>
      get('secret', 'tabard-web', '-n', 'default', '-o', 'jsonpath={.metadata.ownerReferences[*].kind}');
    expect(await eventually(owner, (text) => text === 'Deployment')).toBe('Deployment');
    const row = () => get('tlspolicy', 'all', '-n', 'default', '--no-headers');
    expect(await eventually(row, (text) => /^all\s+Mutual\s+1\/1\s+True\s+20\d\d-/.test(text))).toMatch(
      /^all\s+Mutual\s+1\/1\s+True\s+20\d\d-/,
    );
    const events = () => get('events', '-n', 'default', '-o', 'jsonpath={.items[*].reportingComponent}');
    expect(await eventually(events, (text) => text.includes('tabard.dev/operator'))).toContain('tabard.dev/operator');
  });

  test('the operator hands out the trust bundle, for which it may attest', async () => {
    await api.kubectl(['label', 'namespace', 'default', 'tabard.dev/trust-bundle=enabled']);
    const map = () => get('configmap', 'tabard-trust', '-n', 'default', '-o', 'name');
    expect(await eventually(map, (text) => text.startsWith('configmap/'))).toBe('configmap/tabard-trust\n');
    const bundle = () => get('clustertrustbundle', 'tabard.dev:mesh:cluster', '-o', 'jsonpath={.spec.signerName}');
    expect(await eventually(bundle, (text) => text === 'tabard.dev/mesh')).toBe('tabard.dev/mesh');
  });

  test('a Secret whose workload goes, goes', async () => {
    await api.kubectl(['delete', 'deployment', 'web', '-n', 'default']);
    const secret = () => get('secret', 'tabard-web', '-n', 'default', '-o', 'name');
    expect(await eventually(secret, (text) => text.includes('NotFound'))).toContain('NotFound');
  });

  test('nothing that they tried was forbidden', () => {
    for (const part of [operator, webhook]) {
      expect(part.lines().length).toBeGreaterThan(1);
      expect(part.lines().filter((line) => /forbidden|"status":403\b/i.test(line))).toEqual([]);
      expect(part.child.exitCode).toBeNull();
    }
  });
});
