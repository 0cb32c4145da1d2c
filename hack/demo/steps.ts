// The demo's steps, in order. Each does one thing that a user would do, says so, and shows evidence that can fail.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseDuration } from '../../lib/clock.ts';
import { demoImages } from './images.ts';
import { podsOf, type SidecarRecord, sidecarRecords, until } from './look.ts';
import type { Talk } from './talk.ts';
import type { Target } from './target.ts';

const manifests = join(import.meta.dirname, 'manifests');
const root = join(import.meta.dirname, '..', '..');
const marker = 'tabard-demo-marker';
const workloads = [
  'deployment/api',
  'deployment/web',
  'deployment/mariadb',
  'deployment/redis',
  'statefulset/postgres',
] as const;
const rotations = 3;

/** What a step works with. */
export interface Stage {
  readonly talk: Talk;
  readonly target: Target;
  readonly signal: AbortSignal;
}

/** A manifest of the demo with the images as this cluster knows them. */
async function apply(
  { target }: Stage,
  file: string,
  images: Partial<Delivered>,
  extra: (text: string) => string = (text) => text,
) {
  let text = readFileSync(join(manifests, file), 'utf8');
  for (const [name, to] of Object.entries(images)) text = text.replaceAll(`tabard.dev/demo/${name}:dev`, to);
  await target.kubectl(['apply', '-f', '-'], extra(text));
}

async function rolledOut({ target }: Stage, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => target.kubectl(['-n', 'shop', 'rollout', 'status', name, '--timeout=240s'])));
}

/** The references under which the cluster knows the images. */
export interface Delivered {
  readonly tabard: string;
  readonly shop: string;
  readonly databases: string;
}

/** Builds the images and makes them usable by the cluster. */
export async function deliverImages({ talk, target }: Stage): Promise<Delivered> {
  talk.step('Images: Tabard, and a shop of real software');
  const { tabard, shop, databases } = await demoImages();
  for (const image of [tabard, shop, databases]) {
    talk.say(
      `${image.reference}: ${(image.bytes / 1e6).toFixed(0)} MB, ${(image.compressedBytes / 1e6).toFixed(0)} MB compressed`,
    );
  }
  return {
    tabard: await target.deliver(tabard),
    shop: await target.deliver(shop),
    databases: await target.deliver(databases),
  };
}

/** Helm installs Tabard. */
export async function install({ talk, target }: Stage, { tabard }: Delivered): Promise<void> {
  talk.step('Helm installs Tabard');
  const colon = tabard.lastIndexOf(':');
  const values = [
    `image.repository=${tabard.slice(0, colon)}`,
    `image.tag=${tabard.slice(colon + 1)}`,
    `testing.minimumLifetime=${target.leafLifetime}`,
  ];
  talk.command('helm install tabard charts/tabard -n tabard-system --create-namespace --wait');
  talk.say(
    `with testing.minimumLifetime=${target.leafLifetime}, for demos and tests only, so that you can watch certificates rotate`,
  );
  const startedAt = performance.now();
  const release = ['tabard', join(root, 'charts', 'tabard'), '-n', 'tabard-system', '--create-namespace'];
  const settings = values.flatMap((value) => ['--set-string', value]);
  await target.helm(['upgrade', '--install', ...release, '--wait', '--timeout', '180s', ...settings]);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  const pods = await podsOf(target, 'tabard-system', 'app.kubernetes.io/name=tabard');
  talk.table([['POD', 'READY'], ...pods.map((pod) => [pod.name, `${pod.ready}/${pod.containers}`])]);
  talk.proof(
    pods.length === 4 && pods.every((pod) => pod.ready === pod.containers),
    `two operators and two webhooks are ready after ${seconds} s; the CA and the webhook's certificate were made by Tabard itself`,
  );
}

/** The shop as it was before: plaintext that anybody on the wire can read. */
export async function bareShop(stage: Stage, images: Delivered): Promise<void> {
  const { talk, target } = stage;
  talk.step('The shop runs without Tabard: a capture of the wire shows what its applications say');
  await apply(stage, 'shop.yaml', images);
  await apply(stage, 'outsider.yaml', images);
  await rolledOut(stage, workloads);
  await apply(stage, 'load.yaml', images);
  await rolledOut(stage, ['deployment/load']);
  const pods = await podsOf(target, 'shop');
  talk.say(
    `${pods.length} pods: web and api (HTTP, gRPC, WebSocket), PostgreSQL, MariaDB, Redis, and a load on all of them`,
  );
  talk.proof(
    pods.every((pod) => !pod.injected),
    'nobody asked for Tabard, so none of them has a sidecar',
  );
  await watchTheWire(stage, true);
}

async function watchTheWire({ talk, target, signal }: Stage, readable: boolean): Promise<void> {
  if (target.capture === undefined) {
    talk.say('(no capture: this machine cannot see the wire of that cluster; it can on the embedded one)');
    return;
  }
  const capture = await target.capture();
  await sleep(5_000, undefined, { signal });
  const bytes = await capture.stop();
  const hits = bytes.toString('latin1').split(marker).length - 1;
  talk.say(
    `tcpdump on the bridge between the pods: ${(bytes.length / 1e6).toFixed(1)} MB in 5 s; the applications send the text "${marker}" all the time`,
  );
  if (readable) talk.proof(hits > 0, `"${marker}" is on the wire ${hits} times`);
  else talk.proof(hits === 0 && bytes.length > 100_000, `"${marker}" is on the wire ${hits} times`);
}

/** One TLSPolicy and one annotation. */
export async function protectShop(stage: Stage, images: Delivered): Promise<void> {
  const { talk, target } = stage;
  talk.step('One TLSPolicy, one annotation');
  talk.command('kubectl apply -f policy.yaml');
  await apply(stage, 'policy.yaml', {}, (text) => text.replace('LIFETIME', target.leafLifetime));
  for (const line of readFileSync(join(manifests, 'policy.yaml'), 'utf8')
    .split('\n')
    .filter((each) => !each.startsWith('#') && each !== '')) {
    talk.say(`  ${line.replace('LIFETIME', target.leafLifetime)}`);
  }
  talk.command(`kubectl -n shop annotate ${[...workloads, 'deployment/load'].join(' ')} tabard.dev/inject=true`);
  const startedAt = performance.now();
  await target.kubectl([
    '-n',
    'shop',
    'annotate',
    '--overwrite',
    ...workloads,
    'deployment/load',
    'tabard.dev/inject=true',
  ]);
  await rolledOut(stage, [...workloads, 'deployment/load']);
  await apply(stage, 'job.yaml', images, (text) =>
    text.replace(
      'name: report, namespace: shop}',
      'name: report, namespace: shop, annotations: {tabard.dev/inject: "true"}}',
    ),
  );
  talk.say(`all of them rolled in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  const pods = await until('only injected pods', 60, stage.signal, async () => {
    const now = await podsOf(target, 'shop');
    return now.every((pod) => pod.injected && (pod.finished || pod.ready === pod.containers)) ? now : undefined;
  });
  talk.table([
    ['POD', 'READY', 'SIDECAR', 'SERVICE'],
    ...pods.map((pod) => [pod.name, `${pod.ready}/${pod.containers}`, pod.injected ? 'yes' : 'no', pod.service]),
  ]);
  talk.proof(
    pods.every((pod) => pod.injected),
    'every pod of the shop carries a sidecar',
  );
  await target.kubectl(['-n', 'shop', 'wait', '--for=condition=complete', 'job/report', '--timeout=60s']);
  talk.proof(true, 'the Job ran to its end although it has a sidecar');
}

/** A certificate per service. */
export async function showCertificates({ talk, target }: Stage): Promise<void> {
  talk.step('A certificate per service');
  const list = JSON.parse(
    await target.kubectl(['-n', 'shop', 'get', 'secrets', '-l', 'app.kubernetes.io/managed-by=tabard', '-o', 'json']),
  );
  const rows = (list.items as { metadata: { name: string }; data: Record<string, string> }[]).map((secret) => {
    const leaf = new X509Certificate(Buffer.from(secret.data['tls.crt'] ?? '', 'base64'));
    const root = new X509Certificate(Buffer.from(secret.data['ca.crt'] ?? '', 'base64'));
    return { name: secret.metadata.name, leaf, chained: leaf.verify(root.publicKey) };
  });
  const uri = (leaf: X509Certificate): string => /URI:([^,]+)/.exec(leaf.subjectAltName ?? '')?.[1] ?? '';
  talk.table([
    ['SECRET', 'IDENTITY', 'SERIAL', 'ISSUER', 'NOT AFTER'],
    ...rows.map(({ name, leaf }) => [
      name,
      uri(leaf),
      leaf.serialNumber.slice(0, 16),
      leaf.issuer.split('\n').at(-1) ?? '',
      leaf.validToDate.toISOString(),
    ]),
  ]);
  talk.proof(rows.length >= 6 && rows.every(({ chained }) => chained), 'each verifies against the cluster CA');
  talk.proof(new Set(rows.map(({ leaf }) => leaf.serialNumber)).size === rows.length, 'no two share a serial');
}

/** What the sidecars negotiated, as the load's sidecar logged it. */
export async function showConnections({ talk, target, signal }: Stage): Promise<void> {
  talk.step('What the connections negotiated');
  const wanted = ['api', 'postgres', 'mariadb', 'redis'];
  const rows = await until('a connection to each service', 90, signal, async () => {
    const [load] = await podsOf(target, 'shop', 'app=load');
    const records = load === undefined ? [] : await sidecarRecords(target, 'shop', load.name);
    const found = wanted.flatMap(
      (service) =>
        records.findLast(
          (each) => each.msg === 'connection' && each['destination.identity']?.endsWith(`/svc/${service}`) === true,
        ) ?? [],
    );
    return found.length === wanted.length ? found : undefined;
  });
  talk.table([
    ['PEER', 'VERSION', 'GROUP', 'CIPHER', "PEER'S SERIAL"],
    ...rows.map((each) => [
      each['destination.identity'] ?? '',
      each['tls.protocol.version'] ?? '',
      each['tls.curve'] ?? '(resumed)',
      each['tls.cipher'] ?? '',
      each['tls.server.x509.serial_number']?.slice(0, 16) ?? '',
    ]),
  ]);
  talk.proof(
    rows.every((each) => each['tls.protocol.version'] === '1.3'),
    'every one of them is TLS 1.3, both sides proven',
  );
}

/** The same capture, the same applications. */
export async function wireWithTabard(stage: Stage): Promise<void> {
  stage.talk.step('The wire again, the same applications');
  await watchTheWire(stage, false);
}

/** Somebody who was not injected. */
export async function refuseOutsider(stage: Stage): Promise<void> {
  const { talk, target, signal } = stage;
  talk.step('A client that is not in the mesh is refused, with the reason');
  const [outsider] = await podsOf(target, 'outside', 'app=outsider');
  const [api] = await podsOf(target, 'shop', 'app=api');
  if (outsider === undefined || api === undefined) return talk.proof(false, 'the outsider or the api is missing');
  const call = (host: string) =>
    target
      .kubectl([
        '-n',
        'outside',
        'exec',
        outsider.name,
        '--',
        '/usr/local/bin/node',
        '/app/shop.js',
        'call',
        'http',
        host,
      ])
      .then(
        (text) => ({ ok: true, text: text.trim() }),
        (error: unknown) => ({
          ok: false,
          text: /\{"kind".*\}/.exec(String(error))?.[0] ?? String(error).split('\n')[0] ?? '',
        }),
      );
  talk.command(`kubectl -n outside exec ${outsider.name} -- … call http ${api.ip}`);
  const answer = await call(api.ip);
  talk.say(answer.text);
  talk.proof(!answer.ok, 'the outsider gets nothing');
  const record = await until('the log line of the refusal', 20, signal, async () =>
    (await sidecarRecords(target, 'shop', api.name)).findLast(
      (each) => each.reason === 'plaintext' && each['source.address'] === outsider.ip,
    ),
  );
  talk.say(JSON.stringify(record));
  talk.proof(true, `the api's sidecar logged reason "plaintext" with the source ${outsider.ip}`);
}

/** Rotation under load. */
export async function rotateUnderLoad({ talk, target, signal }: Stage): Promise<void> {
  talk.step(`Three rotations under load (a certificate lives ${target.leafLifetime} here; 24h is the default)`);
  const report = async (): Promise<{ calls: number; failed: number; reopened: number }> => {
    const text = await target.kubectl(['-n', 'shop', 'logs', 'deployment/load', '-c', 'load', '--tail=1']);
    return JSON.parse(text.trim()) as { calls: number; failed: number; reopened: number };
  };
  const swaps = async (): Promise<readonly SidecarRecord[]> => {
    const [pod] = await podsOf(target, 'shop', 'app=api');
    return pod === undefined
      ? []
      : (await sidecarRecords(target, 'shop', pod.name)).filter((each) => each.msg === 'credentials in use');
  };
  const before = await report();
  const known = new Set((await swaps()).map((each) => each.serial ?? ''));
  const seen = new Set<string>();
  await until(
    `${rotations} rotations`,
    (parseDuration(target.leafLifetime) / 1_000) * (rotations + 1),
    signal,
    async () => {
      for (const swap of await swaps()) {
        const serial = swap.serial ?? '';
        if (known.has(serial) || seen.has(serial)) continue;
        seen.add(serial);
        talk.say(`rotation ${seen.size}: the api's sidecar serves with serial ${serial}`);
      }
      return seen.size >= rotations ? true : undefined;
    },
  );
  await sleep(3_000, undefined, { signal });
  const after = await report();
  const calls = after.calls - before.calls;
  const failed = after.failed - before.failed;
  const reopened = after.reopened - before.reopened;
  talk.say(
    `${reopened} lasting connections were closed at a quiet moment, because the certificate they stood on came to its end, and opened anew`,
  );
  talk.proof(
    failed === 0 && calls > 100,
    `${failed} failed of ${calls} calls over HTTP, gRPC, WebSocket, PostgreSQL, MariaDB and Redis, on lasting and on new connections`,
  );
}
