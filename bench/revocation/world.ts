// The cluster of the benchmark: a real API server with etcd, the operator as the image runs it, and the pods of the simulated sidecars with
// addresses of loopback, each with the certificate that the operator issued to its service.
import { join } from 'node:path';
import { freePort } from '../../hack/cluster/controlplane.ts';
import type { Progress } from '../../hack/cluster/progress.ts';
import { certificateSecretName, secretKeys, spiffeId, written } from '../../lib/api/contract.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type BenchOperator, startOperator } from '../issuance/operator.ts';
import { inParallel, World } from '../issuance/world.ts';
import type { SimulatedPod } from './sidecar.ts';

export const namespace = 'shop';
const serviceAccounts = {
  group: '',
  version: 'v1',
  plural: 'serviceaccounts',
  kind: 'ServiceAccount',
  namespaced: true,
};

/** What runs. */
export interface RevocationWorld {
  readonly world: World;
  readonly operators: readonly BenchOperator[];
  /** Where each operator serves revocation lists. */
  readonly crlPorts: readonly number[];
  readonly pods: readonly SimulatedPod[];
  stop(): Promise<void>;
}

/** Starts everything. Pods are spread evenly over services and over operators. */
export async function startWorld(
  size: { readonly sidecars: number; readonly services: number; readonly operators: number },
  paths: { readonly bundle: string; readonly folder: string },
  progress: Progress,
): Promise<RevocationWorld> {
  const world = await World.start({ services: 0, podsPerService: 0, namespaces: 0 }, progress);
  const operators: BenchOperator[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(operators.map((operator) => operator.stop()));
    await world.stop();
  };
  try {
    const ports: number[] = [];
    const crlPorts: number[] = [];
    await progress.step(`${size.operators} operators`, async () => {
      for (let index = 0; index < size.operators; index += 1) {
        const [controlPort, crlPort] = [await freePort(), await freePort()];
        const podName = `operator-${index}`;
        const log = join(paths.folder, `${podName}.log`);
        const { operatorKubeconfig: kubeconfig } = world;
        operators.push(await startOperator({ ...paths, kubeconfig, log, controlPort, crlPort, podName }));
        ports.push(controlPort);
        crlPorts.push(crlPort);
      }
    });
    const made = await progress.step(`${size.sidecars} pods`, () => makePods(world, size));
    const pods = await progress.step(`certificates of ${size.services} services`, () => certified(world, made, ports));
    return { world, operators, crlPorts, pods, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface MadePod {
  readonly name: string;
  readonly uid: string;
  readonly address: string;
  readonly service: string;
}

async function makePods(
  { connection: { client } }: World,
  size: { readonly sidecars: number; readonly services: number },
) {
  await client.create(resources.namespaces, { metadata: { name: namespace } });
  await client.create(serviceAccounts, { metadata: { name: 'default', namespace } });
  const made: MadePod[] = [];
  const indexes = Array.from({ length: size.sidecars }, (_, index) => index);
  await inParallel(indexes, async (index) => {
    const service = `svc-${index % size.services}`;
    const name = `${service}-${index}`;
    const address = `127.77.${Math.floor(index / 250)}.${(index % 250) + 1}`;
    const pod = await client.create(resources.pods, {
      metadata: {
        name,
        namespace,
        labels: { app: service, 'tabard.dev/injected': 'true' },
        annotations: { 'tabard.dev/service': service },
      },
      spec: { automountServiceAccountToken: false, containers: [{ name: 'app', image: 'app' }] },
    });
    const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: at }];
    const status = { phase: 'Running', podIP: address, podIPs: [{ ip: address }], startTime: at, conditions };
    await client.patch(resources.pods, { namespace, name }, { status }, { subresource: 'status' });
    made.push({ name, uid: pod.metadata.uid, address, service });
  });
  return made;
}

async function certified(
  { connection: { client } }: World,
  made: readonly MadePod[],
  ports: readonly number[],
): Promise<readonly SimulatedPod[]> {
  const services = new Set(made.map(({ service }) => service));
  const lastMs = Date.now() + 120_000;
  for (;;) {
    const { items } = await client.list(resources.secrets, { namespace });
    const byName = new Map(items.map((secret) => [secret.metadata.name, secret]));
    if ([...services].every((service) => byName.has(certificateSecretName(service)))) {
      return made.map(({ service, ...pod }, index) => {
        const secret = byName.get(certificateSecretName(service));
        const text = (key: string): string => Buffer.from(secret?.data?.[key] ?? '', 'base64').toString('utf8');
        return {
          ...pod,
          identity: spiffeId('cluster.local', namespace, service),
          serial: secret?.metadata.annotations?.[written.serial] ?? '',
          notAfter: secret?.metadata.annotations?.[written.notAfter] ?? '',
          certificate: text(secretKeys.certificate),
          key: text(secretKeys.key),
          bundle: text(secretKeys.trustBundle),
          // Spread evenly; the others are for when the first is gone.
          control: ports.map((_, at) => ports[(index + at) % ports.length] ?? 0),
        };
      });
    }
    if (Date.now() > lastMs) throw new Error(`${items.length} of ${services.size} certificates after two minutes`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
