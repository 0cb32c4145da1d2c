// A program that fills the operator's caches and its mesh with so many services, as the API server's JSON would, and prints how
// much JavaScript heap each service takes: `node --expose-gc test/support/scale.ts SERVICES`. Two pods per service.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { systemClock } from '../../lib/clock.ts';
import type { EndpointSlice, KubeObject, Pod, Secret, Service } from '../../lib/kube/object.ts';
import { ObjectStore } from '../../lib/kube/store.ts';
import { Texts } from '../../lib/kube/texts.ts';
import { createAuthority, issueLeaf } from '../../lib/pki/ca.ts';
import { generateKey, privateKeyPem } from '../../lib/pki/keys.ts';
import { clusterIndexes } from '../../operator/certificates/cluster.ts';
import { Outcomes } from '../../operator/certificates/outcomes.ts';
import { SecretReader } from '../../operator/certificates/reader.ts';
import { secretInput } from '../../operator/certificates/secret.ts';
import { createMesh } from '../../operator/mesh/mesh.ts';
import { policySource } from '../../operator/mesh/policysource.ts';
import { secretTrimmer, trimPod, trimService, trimSlice } from '../../operator/trim.ts';

const count = Number(process.argv[2] ?? 2_000);
const golden = readFileSync(resolve(import.meta.dirname, '../golden/injection/of-a-deployment/expected.yaml'), 'utf8');
const { spec: podSpec } = (parse(golden) as { pod: { spec: object } }).pod;
const created = '2026-01-01T00:00:00Z';
const dayMs = 86_400_000;

/** An object as it comes from the API server: every text in it is its own. */
function received<T extends KubeObject>(
  object: { metadata: object } & Partial<Record<keyof T, unknown>>,
  version: number,
): T {
  const known = { uid: crypto.randomUUID(), resourceVersion: String(version), creationTimestamp: created };
  return JSON.parse(JSON.stringify({ ...object, metadata: { ...object.metadata, ...known } })) as T;
}

function heapBytes(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

const texts = new Texts();
const pods = new ObjectStore<Pod>({ ...clusterIndexes.pods, texts });
const services = new ObjectStore<Service>({ ...clusterIndexes.services, texts });
const slices = new ObjectStore<EndpointSlice>({ texts });
const secrets = new ObjectStore<Secret>({ texts });
const outcomes = new Outcomes();
const reader = new SecretReader();
const trimSecret = secretTrimmer();
const now = new Date();
const authority = await createAuthority({ trustDomain: 'cluster.local', lifetimeMs: 90 * dayMs, now });
const before = heapBytes();

async function add(index: number): Promise<void> {
  const namespace = `team-${index % 100}`;
  const name = `svc-${index}`;
  const addresses = [0, 1].map((pod) => `10.${pod}.${index >> 8}.${index & 255}`);
  const ports = [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }];
  const selected = { clusterIP: 'None', selector: { app: name }, ports };
  services.set(
    trimService(
      received<Service>({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec: selected }, index),
    ),
  );
  const endpoints = addresses.map((address, pod) => ({
    addresses: [address],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: { kind: 'Pod', namespace, name: `${name}-${pod}` },
  }));
  const labels = { 'kubernetes.io/service-name': name };
  const slice = { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', addressType: 'IPv4', ports, endpoints };
  slices.set(
    trimSlice(received<EndpointSlice>({ ...slice, metadata: { name: `${name}-x`, namespace, labels } }, index)),
  );
  const replicaSet = crypto.randomUUID();
  for (const [pod, address] of addresses.entries())
    pods.set(
      trimPod(received<Pod>(podOf({ namespace, service: name, index: pod, podIP: address, replicaSet }), index)),
    );
  const keys = await generateKey('ECDSA-P256');
  const identity = { trustDomain: 'cluster.local', namespace, service: name };
  const dnsNames = [name, `${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.cluster.local`];
  const leaf = issueLeaf({ authority, identity, dnsNames, now, lifetimeMs: dayMs, publicKey: keys.publicKey });
  const input = secretInput({
    namespace,
    service: name,
    leaf: { ...leaf, chain: leaf.certificate },
    keyPem: privateKeyPem(keys.privateKey),
    trustBundle: authority.certificate,
    wanted: { issuer: 'cluster', uri: '', dnsNames, key: 'ECDSA-P256', lifetimeMs: dayMs, renewAt: 66, owners: [] },
    renewAt: now,
    owners: [{ apiVersion: 'apps/v1', kind: 'Deployment', name, uid: crypto.randomUUID() }],
  });
  const secret = trimSecret(received<Secret>({ apiVersion: 'v1', kind: 'Secret', ...input }, index));
  secrets.set(secret);
  const current = reader.read(secret, authority.certificate);
  outcomes.note(`${namespace}/${name}`, { current, blocked: undefined, renewAt: now, failure: undefined });
}

interface PodPlace {
  readonly namespace: string;
  readonly service: string;
  readonly index: number;
  readonly podIP: string;
  /** Uid of its owner. */
  readonly replicaSet: string;
}

function podOf({ namespace, service, index, podIP, replicaSet }: PodPlace) {
  const controller = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${service}-5d8f7c9b46`, controller: true };
  const conditions = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready'].map((type) => ({
    type,
    status: 'True',
    lastTransitionTime: created,
  }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${service}-${index}`,
      namespace,
      labels: { app: service, 'pod-template-hash': '5d8f7c9b46', 'tabard.dev/injected': 'true' },
      annotations: { 'tabard.dev/inject': 'true', 'tabard.dev/service': service, 'tabard.dev/injected': '1' },
      ownerReferences: [{ ...controller, uid: replicaSet }],
    },
    spec: { ...podSpec, nodeName: 'node-1' },
    status: { phase: 'Running', podIP, podIPs: [{ ip: podIP }], startTime: created, conditions },
  };
}

for (let index = 0; index < count; index += 1) await add(index);
const cached = heapBytes();
const mesh = createMesh({
  trustDomain: 'cluster.local',
  clusterDomain: 'cluster.local',
  clock: systemClock,
  policyOf: policySource({
    policiesIn: () => [],
    servicesIn: (namespace) => services.byIndex('namespace', namespace),
    pod: (key) => pods.get(key),
  }),
});
services.subscribe((from, to) => mesh.serviceChanged(from, to));
slices.subscribe((from, to) => mesh.sliceChanged(from, to));
pods.subscribe((from, to) => mesh.podChanged(from, to));
mesh.settled();
const all = heapBytes();
const kept = { sizes: mesh.sizes(), secrets: secrets.size };
process.stdout.write(
  `${JSON.stringify({ cachedBytes: (cached - before) / count, meshBytes: (all - cached) / count, kept })}\n`,
);
