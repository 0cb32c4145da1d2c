// Pods whose kubelet makes the key: they come up, speak mTLS with pods that read a Secret, get new certificates without a restart, and
// their keys are nowhere but on their node. A soak (TABARD_SOAK_SECONDS of 600 and more) also waits for a renewal in its own time.
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { stateFolder } from '../../hack/cluster/cache.ts';
import { judgeCredentials } from '../../lib/runtime/credentials.ts';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { system } from '../support/e2e/names.ts';
import { processesOf } from '../support/e2e/node.ts';
import { sizeOf, type Trace, tracesIn, tracesInFiles, tracesInMemory, tracesOf } from '../support/e2e/traces.ts';
import { apiContainer, apiService, deployment, inject, policy } from '../support/e2e/workloads.ts';

const namespace = 'podcertificate';
const identity = (service: string): string => `spiffe://cluster.local/ns/${namespace}/svc/${service}`;
let k: Kit;

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace);
  const own = { ...inject, 'tabard.dev/delivery': 'PodCertificate' };
  await k.apply(
    policy(namespace, 'vault', {
      selector: { matchLabels: { app: 'vault' } },
      certificate: { delivery: 'PodCertificate' },
      http: { accessLog: 'All' },
    }),
    policy(namespace, 'alone', {
      selector: { matchLabels: { app: 'alone' } },
      certificate: { delivery: 'PodCertificate' },
    }),
    policy(namespace, 'shop', { http: { accessLog: 'All' } }),
  );
  await k.apply(
    deployment({ namespace, name: 'vault', replicas: 2, annotations: own, container: apiContainer }),
    apiService(namespace, 'vault'),
    deployment({
      namespace,
      name: 'alone',
      annotations: { ...own, 'tabard.dev/inject': 'certificate' },
      container: apiContainer,
    }),
    deployment({ namespace, name: 'shop', annotations: inject, container: apiContainer }),
    apiService(namespace, 'shop'),
  );
  await Promise.all(
    ['deployment/vault', 'deployment/alone', 'deployment/shop'].map((each) => k.rolledOut(namespace, each, 180)),
  );
}, 240_000);

afterAll(async () => {
  await k.drop(namespace);
});

/** Key and chain as the kubelet wrote them for the sidecar. */
async function bundleOf(pod: string): Promise<{ readonly key: string; readonly leaf: X509Certificate }> {
  const read = "process.stdout.write(require('node:fs').readFileSync('/var/run/tabard/tls/credential-bundle.pem'))";
  const command = ['/usr/local/bin/node', '-e', read];
  const text = await k.kubectl(['-n', namespace, 'exec', pod, '-c', 'tabard-proxy', '--', ...command]);
  const [key = ''] = /-----BEGIN PRIVATE KEY-----[^]*?-----END PRIVATE KEY-----\n/.exec(text) ?? [];
  return { key, leaf: new X509Certificate(text.slice(text.indexOf('-----BEGIN CERTIFICATE'))) };
}

const nameOf = (pod: Raw | undefined): string => pod?.['metadata'].name as string;
const podsOf = (app: string): Promise<readonly Raw[]> => k.pods(namespace, `app=${app}`);
const bundlesOf = async (pods: readonly Raw[]) => Promise.all(pods.map((pod) => bundleOf(nameOf(pod))));

/** Serials with which a pod's sidecar was met, by the logs of the other side. */
async function serialsSeen(pod: string, direction: string): Promise<readonly string[]> {
  const log = await k.sidecarLog(namespace, pod);
  return log
    .filter((line) => line['msg'] === 'connection' && line['direction'] === direction)
    .map((line) => line['peerSerial']);
}

test('every pod has a certificate of its own that its kubelet asked for, and no Secret is written', async () => {
  const bundles = await bundlesOf(await podsOf('vault'));
  expect(bundles.map(({ leaf }) => leaf.subjectAltName)).toEqual(
    Array(2).fill(expect.stringContaining(`URI:${identity('vault')}`)),
  );
  expect(new Set(bundles.map(({ leaf }) => leaf.serialNumber)).size).toBe(2);
  expect(new Set(bundles.map(({ key }) => key)).size).toBe(2);
  const secrets = await k.get('secrets', '-n', namespace);
  expect((secrets['items'] as Raw[]).map(({ metadata }) => metadata.name)).toEqual(['tabard-shop']);
  const status = await until('the policy to count both certificates', 60, async () => {
    const { status: found } = (await k.get('tlspolicy', 'vault', '-n', namespace)) as { status?: Raw };
    return found?.['services']?.[0]?.ready === true ? found : undefined;
  });
  expect(status['services']).toEqual([
    expect.objectContaining({ name: 'vault', delivery: 'PodCertificate', certificates: 2, pods: 2, issuer: 'cluster' }),
  ]);
});

test('they speak mTLS with pods that read a Secret, both ways, each with its own certificate', async () => {
  const [shop] = await podsOf('shop');
  const vaults = await podsOf('vault');
  for (let call = 0; call < 8; call += 1) {
    expect(await k.call({ namespace, pod: nameOf(shop), container: 'app' }, 'http', 'vault')).toMatchObject({
      ok: true,
    });
  }
  for (const pod of vaults) {
    expect(await k.call({ namespace, pod: nameOf(pod), container: 'app' }, 'http', 'shop')).toMatchObject({ ok: true });
  }
  const own = new Set((await bundlesOf(vaults)).map(({ leaf }) => leaf.serialNumber));
  await until('the connections in the log', 30, async () => {
    const inbound = new Set(await serialsSeen(nameOf(shop), 'inbound'));
    return [...own].every((serial) => inbound.has(serial)) ? true : undefined;
  });
  const outbound = await serialsSeen(nameOf(shop), 'outbound');
  expect(outbound.length).toBeGreaterThan(0);
  expect(outbound.filter((serial) => !own.has(serial))).toEqual([]);
});

test('a workload that terminates TLS itself finds key, chain and bundle apart as well', async () => {
  const [pod] = await podsOf('alone');
  const read =
    "for (const name of ['tls.crt', 'tls.key', 'ca.crt']) process.stdout.write(require('node:fs').readFileSync('/var/run/tabard/tls/' + name))";
  const text = await k.kubectl(['-n', namespace, 'exec', nameOf(pod), '--', '/usr/local/bin/node', '-e', read]);
  const [chain = '', rest = ''] = text.split('-----BEGIN PRIVATE KEY-----');
  const end = '-----END PRIVATE KEY-----\n';
  const at = rest.indexOf(end) + end.length;
  const texts = {
    certificate: chain,
    key: `-----BEGIN PRIVATE KEY-----${rest.slice(0, at)}`,
    trustBundle: rest.slice(at),
  };
  expect(judgeCredentials(texts, new Date())).toMatchObject({ good: true });
  expect(new X509Certificate(chain).subjectAltName).toContain(`URI:${identity('alone')}`);
});

/** Traces of a key, told apart by whose it is; of some forms alone where those are enough. */
function named(whose: string, pem: string, forms = /./): readonly Trace[] {
  return tracesOf(pem)
    .filter(([name]) => forms.test(name))
    .map(([name, bytes]): Trace => [`${whose}: ${name}`, bytes]);
}

/** Where keys must not be: every Secret, the files of etcd, the memory of every operator. What was found, by place. */
async function searched(traces: readonly Trace[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const etcd = join(stateFolder(k.cluster.name), 'etcd');
  const secrets = Buffer.from(await k.kubectl(['get', 'secrets', '-A', '-o', 'json']));
  const found = new Map<string, readonly string[]>([
    ['secrets', tracesIn(secrets, traces)],
    ['etcd', tracesInFiles(etcd, traces)],
  ]);
  let bytes = sizeOf(etcd) + secrets.length;
  for (const pod of await k.pods(system, 'app.kubernetes.io/component=operator')) {
    for (const pid of processesOf(pod['metadata'].uid as string, '/app/operator.js')) {
      const scan = tracesInMemory(pid, traces);
      bytes += scan.bytes;
      found.set(`memory of ${nameOf(pod)}`, scan.found);
    }
  }
  console.log(`pod certificates: ${[...found.keys()].join(', ')}: ${Math.round(bytes / 1e6)} MB looked through`);
  return found;
}

test('their keys are in no Secret, in no file of etcd and not in the memory of an operator', async () => {
  const vaults = await podsOf('vault');
  const [first, second] = await bundlesOf(vaults);
  const keyIn = async (name: string, where: string): Promise<string> => {
    const secret = await k.get('secret', name, '-n', where);
    return Buffer.from(secret['data']['tls.key'] as string, 'base64').toString();
  };
  const keys = [first, second].map((bundle) => bundle?.key ?? '');
  // The search must find what is there: a Secret's key in etcd, the CA's key in operators.
  const found = await searched([
    ...keys.flatMap((key, index) => named(`vault ${index}`, key)),
    ...named('shop', await keyIn('tabard-shop', namespace), /^PEM$/),
    ...named('ca', await keyIn('tabard-ca', system), /PEM/),
  ]);
  const foundOf = (whose: string, place: string): readonly string[] =>
    [...found]
      .flatMap(([where, names]) => (where.startsWith(place) ? names : []))
      .filter((name) => name.includes(whose));
  expect(foundOf('vault', '')).toEqual([]);
  expect(foundOf('shop', 'etcd')).not.toEqual([]);
  expect([...found.keys()].filter((where) => where.startsWith('memory')).length).toBeGreaterThanOrEqual(2);
  expect(foundOf('ca', 'memory')).not.toEqual([]);
  const [sidecar] = processesOf(vaults[0]?.['metadata'].uid as string, '/app/sidecar.js');
  expect(tracesInMemory(sidecar ?? 0, tracesOf(keys[0] ?? '')).found).not.toEqual([]);
}, 240_000);

/** The kubelet of the node, as a process of this machine. */
function kubeletPid(): number {
  const own = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(`--hostname-override=${k.cluster.node}\0`);
    } catch {
      return false; // it ended meanwhile
    }
  });
  const [pid] = own;
  if (pid === undefined || own.length > 1) throw new Error(`${own.length} kubelets are there`);
  return Number(pid);
}

/** Waits until every pod has another certificate than before and its sidecar shows it; the new ones. */
async function renewed(before: ReadonlyMap<string, string>, seconds: number): Promise<void> {
  for (const [pod, serial] of before) {
    const next = await until(`another certificate of ${pod}`, seconds, async () => {
      const { leaf } = await bundleOf(pod);
      return leaf.serialNumber === serial ? undefined : leaf.serialNumber;
    });
    await until(`the sidecar of ${pod} to use ${next}`, 60, async () => {
      const log = await k.sidecarLog(namespace, pod);
      return log.find((line) => line['msg'] === 'credentials in use' && line['serial'] === next);
    });
  }
}

const serialsBy = async (pods: readonly Raw[]): Promise<ReadonlyMap<string, string>> =>
  new Map(
    await Promise.all(pods.map(async (pod) => [nameOf(pod), (await bundleOf(nameOf(pod))).leaf.serialNumber] as const)),
  );

test('a kubelet that starts anew asks for new keys, which the running sidecars take over', async () => {
  const vaults = await podsOf('vault');
  const before = await serialsBy(vaults);
  // A kubelet keeps keys in memory alone. What has ended is started again together with the API server.
  process.kill(kubeletPid(), 'SIGTERM');
  await until('the kubelet to end', 60, async () => {
    try {
      kubeletPid();
      return undefined;
    } catch {
      return true;
    }
  });
  await k.cluster.restartApiServer();
  await renewed(before, 120);
  const restarts = (await podsOf('vault')).flatMap((pod) => pod['status'].initContainerStatuses as Raw[]);
  expect(restarts.filter(({ restartCount }) => restartCount > 0)).toEqual([]);
  const [shop] = await podsOf('shop');
  expect(await k.call({ namespace, pod: nameOf(shop), container: 'app' }, 'http', 'vault')).toMatchObject({ ok: true });
}, 300_000);

// The API server takes no certificate that is renewed earlier than ten minutes after it began, and kubelets add up to five.
if (Number(process.env['TABARD_SOAK_SECONDS'] ?? '0') >= 600) {
  test('a certificate is renewed in its own time', async () => {
    const own = { ...inject, 'tabard.dev/delivery': 'PodCertificate' };
    await k.apply(
      policy(namespace, 'soon', {
        selector: { matchLabels: { app: 'soon' } },
        certificate: { delivery: 'PodCertificate', lifetime: '1h', renewAt: 10 },
      }),
      deployment({ namespace, name: 'soon', annotations: own, container: apiContainer }),
    );
    await k.rolledOut(namespace, 'deployment/soon', 120);
    await renewed(await serialsBy(await podsOf('soon')), 1_020);
  }, 1_200_000);
}
