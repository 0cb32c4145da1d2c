// Clients of another trust domain at a pod of the cluster: from the TLSIssuer that names their root to the handshake.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { run } from '../../hack/cluster/run.ts';
import { formatCertificates } from '../../lib/pki/bundle.ts';
import { type Kit, kit, until } from '../support/e2e/kit.ts';
import { system } from '../support/e2e/names.ts';
import { apiContainer, apiService, deployment, inject, policy } from '../support/e2e/workloads.ts';
import { otherAuthority, otherLeaf } from '../support/federation.ts';
import type { TestLeaf } from '../support/pki.ts';

const namespace = 'federation';
const partner = otherAuthority('partner');
const folder = mkdtempSync(join(tmpdir(), 'tabard-federation-'));
let k: Kit;
let address: string;

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace);
  await k.apply(policy(namespace, 'api', { http: { accessLog: 'All' } }));
  await k.apply(
    deployment({ namespace, name: 'api', annotations: inject, container: apiContainer }),
    apiService(namespace, 'api'),
  );
  await k.rolledOut(namespace, 'deployment/api', 180);
  const [pod] = await k.pods(namespace, 'app=api');
  address = pod?.['status'].podIP as string;
}, 240_000);

afterAll(async () => {
  await trust([]);
  await k.kubectl(['delete', 'configmap', 'partner', '-n', system, '--ignore-not-found']);
  await k.drop(namespace);
  rmSync(folder, { recursive: true, force: true });
});

async function trust(roots: readonly object[]): Promise<void> {
  const patch = JSON.stringify({ spec: { trust: { roots } } });
  await k.kubectl(['patch', 'tlsissuer', 'cluster', '--type=merge', '-p', patch]);
}

const fromConfigMap = {
  name: 'partner',
  trustDomain: 'partner.example',
  configMapRef: { name: 'partner', key: 'ca.crt' },
};

async function configMap(text: string): Promise<void> {
  const metadata = { name: 'partner', namespace: system };
  await k.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'ca.crt': text } });
}

/** The reason of the issuer's condition about its further roots. */
async function reason(): Promise<string> {
  const path = '{.status.conditions[?(@.type=="RootsAccepted")].reason}';
  return k.kubectl(['get', 'tlsissuer', 'cluster', '-o', `jsonpath=${path}`]);
}

const script = `
  const { readFileSync } = require('node:fs');
  const [, address, certificate] = process.argv;
  const pem = readFileSync(certificate);
  const socket = require('node:tls').connect({ host: address, port: 8080, cert: pem, key: pem, rejectUnauthorized: false });
  let text = '';
  socket.on('secureConnect', () => socket.end('GET /health HTTP/1.0\\r\\n\\r\\n'));
  socket.on('data', (data) => (text += data));
  socket.on('error', (error) => (text += error.code));
  socket.on('close', () => process.stdout.write(text));
`;

/** What a client on the node, without a sidecar, hears from the pod when it shows this certificate. */
async function answer(leaf: TestLeaf): Promise<string> {
  const file = join(folder, `${leaf.serial}.pem`);
  writeFileSync(file, leaf.certificate + leaf.key, { mode: 0o600 });
  const args = [`--net=${k.cluster.netns}`, process.execPath, '-e', script, address, file];
  return run('nsenter', args, { timeoutMs: 30_000 });
}

test('is let in as soon as its root is named, is nobody of ours, and stays while the root is broken', async () => {
  const member = otherLeaf(partner, ['spiffe://partner.example/ns/a/sa/b']);
  const impostor = otherLeaf(partner, [`spiffe://cluster.local/ns/${namespace}/svc/web`]);
  expect(await answer(member)).not.toContain('200 OK');
  await configMap(formatCertificates([partner.certificate]));
  await trust([fromConfigMap]);
  await until('the client to be let in', 60, async () =>
    (await answer(member)).includes('200 OK') ? true : undefined,
  );
  expect(await answer(impostor)).not.toContain('200 OK');
  await until('the issuer to say so', 60, async () => ((await reason()) === 'RootsUsable' ? true : undefined));

  await configMap('garbage');
  await until('the issuer to say what is wrong', 60, async () =>
    (await reason()) === 'RootsBroken' ? true : undefined,
  );
  expect(await answer(member)).toContain('200 OK');

  await trust([]);
  await until('the client to be refused', 60, async () =>
    (await answer(member)).includes('200 OK') ? undefined : true,
  );
  const [pod] = await k.pods(namespace, 'app=api');
  const log = await k.sidecarLog(namespace, pod?.['metadata'].name as string);
  const peers = log.filter((line) => line['msg'] === 'connection').map((line) => line['peer'] as string);
  expect(new Set(peers)).toEqual(new Set(['spiffe://partner.example/ns/a/sa/b']));
}, 300_000);
