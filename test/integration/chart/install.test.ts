// The chart on a real API server, by the real helm: install, upgrade, rollback, uninstall, install again. No pod runs here;
// what is looked at is what Helm leaves behind, and what the accounts of the release may do.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import { webhookEntries } from '../../../webhook/configuration.ts';
import { chart, type Helm, openHelm } from '../../support/helm.ts';

// Every test runs helm or kubectl several times, beside whatever else this machine does.
jest.setTimeout(120_000);

const namespace = 'tabard-system';
let api: ControlPlane;
let helm: Helm;

beforeAll(async () => {
  api = await startControlPlane();
  helm = await openHelm(api.kubeconfig);
  await install();
}, 900_000);

afterAll(async () => {
  helm?.close();
  await api?.stop();
});

const install = (...args: readonly string[]) =>
  helm.ok('install', 'tabard', chart, '-n', namespace, '--create-namespace', ...args);
const upgrade = (...args: readonly string[]) => helm.ok('upgrade', 'tabard', chart, '-n', namespace, ...args);
const get = (...args: readonly string[]) => api.kubectl(['get', ...args]);
const apply = (input: string) => api.kubectl(['apply', '-f', '-'], { input });
const policy = (name: string, lifetime: string) =>
  `{apiVersion: tabard.dev/v1alpha1, kind: TLSPolicy, metadata: {name: ${name}, namespace: default}, ` +
  `spec: {certificate: {lifetime: ${lifetime}}}}`;

const workload = (name: string, inject: string | undefined) => {
  const labels = { app: name };
  const annotations = inject === undefined ? {} : { 'tabard.dev/inject': inject };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'main' }] } };
  const spec = { selector: { matchLabels: labels }, template };
  return JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default', annotations },
    spec,
  });
};

const entries = webhookEntries('tabard-system').length;

/** How many entries of the webhook configuration carry a caBundle, of how many. */
async function bundles(): Promise<string> {
  const text = await get('mutatingwebhookconfiguration', 'tabard-webhook', '-o', 'json');
  const { webhooks } = JSON.parse(text) as { webhooks: readonly { clientConfig: { caBundle?: string } }[] };
  return `${webhooks.filter(({ clientConfig }) => (clientConfig.caBundle ?? '') !== '').length}/${webhooks.length}`;
}

/** Fills in caBundle as the webhook does: a JSON patch under its own name. */
async function fillBundles(): Promise<void> {
  const value = readFileSync(api.ca).toString('base64');
  const patch = Array.from({ length: entries }, (_, index) => ({
    op: 'add',
    path: `/webhooks/${index}/clientConfig/caBundle`,
    value,
  }));
  const args = ['--type=json', '--field-manager=tabard-webhook', '-p', JSON.stringify(patch)];
  await api.kubectl(['patch', 'mutatingwebhookconfiguration', 'tabard-webhook', ...args]);
}

describe('helm install', () => {
  test('is accepted whole, and says what to do next', async () => {
    const notes = await helm.ok('get', 'notes', 'tabard', '-n', namespace);
    expect(notes).toContain('kubectl annotate deployment <name> -n <namespace> tabard.dev/inject=true');
    expect(notes).toContain('helm test tabard -n tabard-system');
    expect(notes).not.toContain('WARNING');
    expect(await get('deployments', '-n', namespace, '-o', 'name')).toBe(
      'deployment.apps/tabard-operator\ndeployment.apps/tabard-webhook\n',
    );
  });

  test('gives the API server webhooks whose conditions it can compile', async () => {
    expect(await bundles()).toBe(`0/${entries}`);
  });

  test('holds back who asked while no webhook runs, and nobody else', async () => {
    await expect(apply(workload('asks', 'true'))).rejects.toThrow('failed calling webhook "workloads.tabard.dev"');
    await expect(apply(workload('silent', undefined))).resolves.toContain('created');
  });
});

describe('helm upgrade', () => {
  test('leaves the caBundle that the webhook wrote, by server-side and by client-side apply, and so does a rollback', async () => {
    await fillBundles();
    expect(await bundles()).toBe(`${entries}/${entries}`);
    await upgrade('--set', 'logLevel=debug,commonLabels.team=a');
    expect(await bundles()).toBe(`${entries}/${entries}`);
    await upgrade('--server-side=false', '--set', 'commonLabels.team=b');
    expect(await bundles()).toBe(`${entries}/${entries}`);
    await upgrade('--server-side=true', '--set', 'commonLabels.team=c');
    expect(await bundles()).toBe(`${entries}/${entries}`);
    await helm.ok('rollback', 'tabard', '1', '-n', namespace);
    expect(await bundles()).toBe(`${entries}/${entries}`);
  });

  test('upgrades the CRDs, and keeps the policies', async () => {
    await apply(policy('kept', '1h'));
    const columns = () =>
      get('crd', 'tlspolicies.tabard.dev', '-o', 'jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}');
    const whole = await columns();
    const older = mkdtempSync(join(tmpdir(), 'tabard-older-chart-'));
    cpSync(chart, older, { recursive: true });
    const template = join(older, 'templates/crds/tabard.dev_tlspolicies.yaml');
    writeFileSync(template, readFileSync(template, 'utf8').replace('- name: Mode', '- name: Manner'));
    await helm.ok('upgrade', 'tabard', older, '-n', namespace);
    rmSync(older, { recursive: true });
    expect(await columns()).toBe(whole.replace('Mode', 'Manner'));
    await upgrade();
    expect(await columns()).toBe(whole);
    expect(await get('tlsp', '-n', 'default', '-o', 'name')).toBe('tlspolicy.tabard.dev/kept\n');
  });

  test('lowers the shortest lifetime for demos and tests, says so, and raises it again', async () => {
    await expect(apply(policy('short', '5s'))).rejects.toThrow('must be a duration from 10m to 90d');
    expect(await upgrade('--set', 'testing.minimumLifetime=5s')).toContain('WARNING: testing.minimumLifetime is 5s');
    await expect(apply(policy('short', '5s'))).resolves.toContain('created');
    await expect(apply(policy('shorter', '4s'))).rejects.toThrow('must be a duration from 5s to 90d');
    // The API server publishes its OpenAPI a little after the change.
    const explained = () => api.kubectl(['explain', 'tlspolicy.spec.certificate.lifetime']);
    for (let tries = 0; tries < 100 && !(await explained()).includes('from 5s'); tries += 1) await sleep(100);
    expect(await explained()).toContain('from 5s to 90d');
    await api.kubectl(['delete', 'tlsp', 'short', '-n', 'default']);
    await upgrade('--set', 'testing.minimumLifetime=10m');
    await expect(apply(policy('short', '5s'))).rejects.toThrow('must be a duration from 10m to 90d');
  });
});

describe('a service account of the release', () => {
  const can = async (account: string, ...what: readonly string[]): Promise<string> =>
    await api.kubectl(['auth', 'can-i', ...what, `--as=system:serviceaccount:${namespace}:tabard-${account}`]).then(
      () => 'yes',
      (error: unknown) => (String(error).includes('no') ? 'no' : String(error)),
    );

  test.each([
    ['operator', 'yes', ['watch', 'pods', '-A']],
    ['operator', 'yes', ['patch', 'tlspolicies', '--subresource=status', '-A']],
    ['operator', 'no', ['update', 'tlspolicies', '-A']],
    ['operator', 'no', ['delete', 'tlsissuers', '-A']],
    ['operator', 'yes', ['patch', 'secrets', '-A']],
    ['operator', 'no', ['create', 'pods', '-A']],
    ['operator', 'no', ['update', 'deployments', '-A']],
    ['operator', 'no', ['update', 'mutatingwebhookconfigurations', '-A']],
    ['operator', 'yes', ['update', 'leases', '-n', 'tabard-system']],
    ['operator', 'no', ['update', 'leases', '-n', 'kube-system']],
    ['webhook', 'yes', ['patch', 'mutatingwebhookconfigurations/tabard-webhook']],
    ['webhook', 'no', ['patch', 'mutatingwebhookconfigurations/other']],
    ['webhook', 'yes', ['patch', 'validatingwebhookconfigurations/tabard-webhook']],
    ['webhook', 'no', ['patch', 'validatingwebhookconfigurations/other']],
    ['webhook', 'yes', ['watch', 'tlsroles']],
    ['webhook', 'yes', ['update', 'secrets/tabard-webhook-tls', '-n', 'tabard-system']],
    ['webhook', 'no', ['get', 'secrets/tabard-ca', '-n', 'tabard-system']],
    ['webhook', 'no', ['list', 'secrets', '-A']],
    ['webhook', 'no', ['get', 'pods', '-A']],
    ['webhook', 'no', ['get', 'tlspolicies', '-A']],
  ] as const)('%s: %s, it can %j', async (account, answer, what) => {
    expect(await can(account, ...what)).toBe(answer);
  });
});

describe('helm uninstall', () => {
  test('takes away what could hold pods back, and leaves policies and the Secrets that Helm did not make', async () => {
    await api.kubectl(['create', 'secret', 'generic', 'tabard-ca', '-n', namespace, '--from-literal=tls.crt=kept']);
    await helm.ok('uninstall', 'tabard', '-n', namespace);
    expect(await get('mutatingwebhookconfigurations,validatingwebhookconfigurations', '-o', 'name')).toBe('');
    expect(
      await get('deployments,services,networkpolicies,serviceaccounts', '-n', namespace, '-o', 'name'),
    ).not.toContain('tabard');
    expect(await get('clusterroles,clusterrolebindings', '-o', 'name')).not.toContain('tabard');
    expect(await get('tlsp', '-n', 'default', '-o', 'name')).toBe('tlspolicy.tabard.dev/kept\n');
    expect(await get('secrets', '-n', namespace, '-o', 'name')).toBe('secret/tabard-ca\n');
    await expect(apply(workload('asks', 'true'))).resolves.toContain('created');
  });

  test('leaves CRDs under which a helm test is accepted by the API server', async () => {
    const hooks = ['namespace', 'server', 'client', 'outsider'].flatMap((name) => [
      '-s',
      `templates/tests/${name}.yaml`,
    ]);
    const input = await helm.ok('template', 'tabard', chart, '-n', namespace, ...hooks);
    await api.kubectl(['create', 'namespace', 'tabard-system-helm-test']);
    const said = await api.kubectl(['apply', '--dry-run=server', '-f', '-'], { input });
    await api.kubectl(['delete', 'namespace', 'tabard-system-helm-test', '--wait=false']);
    expect(said.match(/^\S+ \S+/gm)?.sort()).toEqual([
      'deployment.apps/server created',
      'job.batch/client created',
      'job.batch/outsider created',
      'namespace/tabard-system-helm-test configured',
      'service/server created',
      'tlspolicy.tabard.dev/default created',
    ]);
  });

  test('can be followed by an install, which takes the CRDs over', async () => {
    await expect(install()).resolves.toContain('STATUS: deployed');
    expect(await get('tlsp', '-n', 'default', '-o', 'name')).toBe('tlspolicy.tabard.dev/kept\n');
  });

  test('also deletes the CRDs when it was told to', async () => {
    expect(await upgrade('--set', 'crds.keep=false')).toContain('WARNING: crds.keep is false');
    const kinds = (await get('crd', '-o', 'name')).split('\n').filter((name) => name.endsWith('.tabard.dev'));
    expect(kinds.length).toBeGreaterThan(0);
    await helm.ok('uninstall', 'tabard', '-n', namespace);
    await api.kubectl(['wait', '--for=delete', ...kinds, '--timeout=60s']);
    expect(await get('crd', '-o', 'name')).not.toContain('tabard');
  });
});
