// Revocation with a real API server, two operators in processes of their own, and sidecars that are simulated but for what they do with
// revocations (bench/revocation/sidecar.ts): spread by every replica, resolved and reissued by the leader, told in lists over HTTP.
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Pairs, SimulatedSidecar } from '../../../bench/revocation/sidecar.ts';
import { namespace, type RevocationWorld, startWorld } from '../../../bench/revocation/world.ts';
import { buildBundles } from '../../../hack/build.ts';
import { progressOn } from '../../../hack/cluster/progress.ts';
import type { TLSRevocation, TLSRevocationSpec } from '../../../lib/api/tlsrevocation.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type Authority, loadAuthority } from '../../../lib/pki/ca.ts';
import { crlPem, signCrl } from '../../../lib/pki/crl.ts';
import { crlFault, readCrl } from '../../../lib/pki/crlread.ts';
import { privateKeyPem } from '../../../lib/pki/keys.ts';
import { createLogger } from '../../../lib/runtime/logger.ts';
import { testAuthority } from '../../support/pki.ts';

jest.setTimeout(120_000);

const system = 'tabard-system';
const identityOf = (service: string): string => `spiffe://cluster.local/ns/${namespace}/svc/${service}`;
const folder = mkdtempSync(join(tmpdir(), 'tabard-revocation-test-'));
const stop = new AbortController();
let running: RevocationWorld;
let client: KubeClient;
let sidecars: readonly SimulatedSidecar[];
let pairs: Pairs;

beforeAll(async () => {
  const [bundle] = await buildBundles({ programs: ['operator'], folder });
  const quiet = progressOn(() => undefined);
  running = await startWorld({ sidecars: 6, services: 3, operators: 2 }, { bundle: bundle?.path ?? '', folder }, quiet);
  client = running.world.connection.client;
  pairs = await Pairs.open();
  const logger = createLogger({ name: 'sidecar', level: 'silent' });
  sidecars = running.pods.map((pod) => new SimulatedSidecar(pod, pairs, logger));
  for (const sidecar of sidecars) sidecar.run(stop.signal);
  await eventually('all sidecars are told', () => sidecars.every(({ isReady }) => isReady));
}, 900_000);

afterAll(async () => {
  stop.abort();
  pairs?.close();
  await running?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What `look` gives once it is something; fails after a minute. An API server that asks to come back later is asked again. */
async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const lastMs = Date.now() + 60_000;
  for (;;) {
    const seen = await Promise.resolve()
      .then(look)
      .catch((error: unknown) => {
        if (!isKube(error, 'Throttled', 'Unavailable', 'NotFound')) throw error;
        return undefined;
      });
    if (seen !== undefined && seen !== false) return seen;
    if (Date.now() > lastMs) throw new Error(`not so after a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const revoke = (name: string, spec: TLSRevocationSpec): Promise<TLSRevocation> =>
  client.create(resources.tlsrevocations, { metadata: { name }, spec });
const lift = (name: string): Promise<void> => client.delete(resources.tlsrevocations, { name });
const secretOf = (service: string): Promise<Secret> =>
  client.get(resources.secrets, { namespace, name: `tabard-${service}` });
const serialIn = (secret: Secret): string => secret.metadata.annotations?.['tabard.dev/serial'] ?? '';

const statusOf = (name: string, reason: string) =>
  eventually(`${name} is ${reason}`, async () => {
    const { status } = await client.get(resources.tlsrevocations, { name });
    return status?.conditions?.[0]?.reason === reason ? status : undefined;
  });

async function activeAuthority(): Promise<Authority> {
  const secret = await client.get(resources.secrets, { namespace: system, name: 'tabard-ca' });
  const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  return loadAuthority(text('tls.crt'), text('tls.key'), 'cluster.local');
}

async function served(
  keyId: string,
  operator: number = 0,
): Promise<{ readonly list: ReturnType<typeof readCrl>; readonly etag: string }> {
  const answer = await fetch(`http://127.0.0.1:${running.crlPorts[operator]}/crl/${keyId.toLowerCase()}.crl`);
  if (answer.status !== 200) throw new Error(`the list is answered with ${answer.status}`);
  expect(answer.headers.get('content-type')).toBe('application/pkix-crl');
  return { list: readCrl(Buffer.from(await answer.arrayBuffer())), etag: answer.headers.get('etag') ?? '' };
}

describe('a revocation', () => {
  test('of an identity cuts live connections at the sidecars of every replica, leader or not; its end tells them, too', async () => {
    const connections = await Promise.all(sidecars.map((sidecar) => sidecar.connect(identityOf('victim'))));
    const bystander = await sidecars[0]?.connect(identityOf('bystander'));
    const { metadata } = await revoke('by-identity', { identity: identityOf('victim'), reason: 'keyCompromise' });
    await Promise.all(connections.map(({ ended }) => ended));
    for (const sidecar of sidecars) expect(sidecar.number).toBeGreaterThanOrEqual(Number(metadata.resourceVersion));
    expect(await Promise.race([bystander?.ended, Promise.resolve('lives')])).toBe('lives');
    // The replicas do not find each other here: the leader hears of its own half, and names the others.
    const status = await statusOf('by-identity', 'Spreading');
    expect(status.sidecars?.total).toBe(6);
    await lift('by-identity');
    const subject = { identity: identityOf('victim'), serial: '01', issuer: '' };
    await eventually('nobody refuses it any more', () =>
      sidecars.every((sidecar) => sidecar.revoked(subject) === undefined),
    );
  });

  test('of a serial has the service issued a fresh certificate with a new key, and is on the list of its CA', async () => {
    const [authority, before] = [await activeAuthority(), await secretOf('svc-0')];
    const first = await eventually('a list is served', () => served(authority.keyId).catch(() => undefined));
    expect(crlFault(first.list, new X509Certificate(authority.certificate))).toBeUndefined();
    await revoke('by-serial', { serial: serialIn(before), reason: 'superseded' });
    const after = await eventually('a fresh certificate', async () => {
      const secret = await secretOf('svc-0');
      return serialIn(secret) === serialIn(before) ? undefined : secret;
    });
    expect(after.data?.['tls.key']).not.toBe(before.data?.['tls.key']);
    const next = await eventually('the list names it', async () => {
      const { list } = await served(authority.keyId);
      return list.entries.length > 0 ? list : undefined;
    });
    expect(next.entries).toEqual([
      expect.objectContaining({ serial: serialIn(before).replace(/^0+/, ''), reason: 'superseded' }),
    ]);
    expect(next.number ?? 0n).toBeGreaterThan(first.list.number ?? 0n);
    expect(next.authorityKeyId).toBe(authority.keyId);
    await lift('by-serial');
    await eventually('the list is empty again', async () => (await served(authority.keyId)).list.entries.length === 0);
  });

  test('of a pod is written down as the serials that it showed, before its service has another', async () => {
    const before = await secretOf('svc-1');
    const pod = running.pods.find(({ name }) => name.startsWith('svc-1-'));
    await revoke('by-pod', { pod: { namespace, name: pod?.name ?? '' } });
    const after = await eventually('a fresh certificate', async () => {
      const secret = await secretOf('svc-1');
      return serialIn(secret) === serialIn(before) ? undefined : secret;
    });
    const { status } = await client.get(resources.tlsrevocations, { name: 'by-pod' });
    expect(status?.serials).toContain(serialIn(before).replace(/^0+/, ''));
    expect(status?.serials).not.toContain(serialIn(after).replace(/^0+/, ''));
    const subject = { identity: identityOf('svc-1'), serial: serialIn(before), issuer: '' };
    await eventually('every sidecar refuses it', () =>
      sidecars.every((sidecar) => sidecar.revoked(subject) !== undefined),
    );
    await lift('by-pod');
  });

  test('of a pod that is not there, and of Tabard itself, say that they do nothing', async () => {
    await revoke('nobody', { pod: { namespace, name: 'nobody' } });
    await revoke('suicide', { identity: `spiffe://cluster.local/ns/${system}/svc/tabard-operator` });
    await statusOf('nobody', 'PodUnknown');
    await statusOf('suicide', 'OperatorIdentity');
    await lift('nobody');
    await lift('suicide');
  });
});

describe('revocation lists over HTTP', () => {
  test('know what a client has, and are not there for others', async () => {
    const { keyId } = await activeAuthority();
    const { etag } = await eventually('a list is served by the other replica, too', () =>
      served(keyId, 1).catch(() => undefined),
    );
    const origin = `http://127.0.0.1:${running.crlPorts[1]}`;
    const url = `${origin}/crl/${keyId}.crl`;
    const answers = await Promise.all([
      fetch(url, { headers: { 'if-none-match': etag } }),
      fetch(url, { headers: { 'if-modified-since': new Date(Date.now() + 60_000).toUTCString() } }),
      fetch(url, { method: 'HEAD' }),
      fetch(url, { method: 'POST', body: 'x' }),
      fetch(`${origin}/crl/00.crl`),
      fetch(`${origin}/`),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([304, 304, 200, 405, 404, 404]);
  });
});

describe('an imported list', () => {
  const source = { namespace: system, name: 'corp-crl' };

  async function publish(data: object): Promise<void> {
    const options = { fieldManager: 'test', force: true };
    await client.apply(resources.configmaps, { metadata: source, ...data }, options);
  }

  const conditionIs = (reason: string, name: string = 'corp') =>
    eventually(`the import is ${reason}`, async () => {
      const { status } = await client.get(resources.tlsissuers, { name });
      const condition = status?.conditions?.find(({ type }) => type === 'CrlImported');
      return condition?.reason === reason ? condition : undefined;
    });

  test('is told to every sidecar; whatever is wrong with the next one is said, and the last good one stays', async () => {
    const [corp, stranger] = await Promise.all([testAuthority({ lifetimeMs: 30 * 86_400_000 }), testAuthority()]);
    const list = ({ number = 7, atMs = -60_000, endMs = 3_600_000, by = corp, serials = ['0ABC'] } = {}): string => {
      const [thisUpdate, nextUpdate] = [atMs, endMs].map((ms) => new Date(Date.now() + ms)) as [Date, Date];
      const entries = serials.map((serial) => ({ serial, revokedAt: thisUpdate, reason: 'keyCompromise' as const }));
      const authorityKeyId = Buffer.from(by.keyId, 'hex');
      return crlPem(
        signCrl({ issuerName: by.name, authorityKeyId, number, thisUpdate, nextUpdate, entries }, by.privateKey),
      );
    };
    await client.create(resources.secrets, {
      metadata: { namespace: system, name: 'corp-ca' },
      type: 'kubernetes.io/tls',
      stringData: {
        'tls.crt': corp.certificate,
        'tls.key': privateKeyPem(corp.privateKey),
        'ca.crt': corp.certificate,
      },
    });
    await client.create(resources.tlsissuers, {
      metadata: { name: 'corp' },
      spec: {
        ca: { secretRef: { name: 'corp-ca' } },
        crl: { importFrom: { configMapRef: { name: 'corp-crl', key: 'crl' } } },
      },
    });
    await conditionIs('CrlMissing');
    await publish({ data: { crl: list() } });
    await conditionIs('Imported');
    const issuer = new X509Certificate(corp.certificate).subject;
    const subject = { identity: identityOf('web'), serial: '0ABC', issuer };
    await eventually('every sidecar refuses it', () =>
      sidecars.every((sidecar) => sidecar.revoked(subject) !== undefined),
    );

    const wrong: readonly (readonly [string, object])[] = [
      ['CrlEmpty', { data: { crl: '' } }],
      ['CrlExpired', { data: { crl: list({ number: 8, atMs: -120_000, endMs: -60_000 }) } }],
      ['CrlForeignIssuer', { data: { crl: list({ by: stranger }) } }],
      ['CrlNumberWentBack', { data: { crl: list({ number: 6, atMs: -1_000 }) } }],
      ['CrlUnreadable', { data: { crl: 'no list' } }],
    ];
    for (const [reason, data] of wrong) {
      await publish(data);
      const { message } = await conditionIs(reason);
      expect(message).toMatch(/the last good list \(number 7, 1 serials\) stays in force$/);
    }
    expect(sidecars.every((sidecar) => sidecar.revoked(subject) !== undefined)).toBe(true);
    await publish({ data: { crl: list({ number: 9, serials: [] }) } });
    await conditionIs('Imported');
    await eventually('nobody refuses it any more', () =>
      sidecars.every((sidecar) => sidecar.revoked(subject) === undefined),
    );
  });

  test('comes from a URL, too; one over 1 MiB and one that is not there are refused', async () => {
    const corp = await testAuthority({ lifetimeMs: 30 * 86_400_000 });
    const bytes = signCrl(
      {
        issuerName: corp.name,
        authorityKeyId: Buffer.from(corp.keyId, 'hex'),
        number: 1,
        thisUpdate: new Date(Date.now() - 60_000),
        nextUpdate: new Date(Date.now() + 3_600_000),
        entries: [],
      },
      corp.privateKey,
    );
    const answers = new Map([
      ['/good.crl', bytes],
      ['/large.crl', Buffer.alloc(3 * 1_048_576, 0x30)],
    ]);
    const server = createServer((request, response) => {
      const body = answers.get(request.url ?? '');
      response.writeHead(body === undefined ? 404 : 200);
      response.end(body);
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    try {
      const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await client.create(resources.secrets, {
        metadata: { namespace: system, name: 'far-ca' },
        type: 'kubernetes.io/tls',
        stringData: {
          'tls.crt': corp.certificate,
          'tls.key': privateKeyPem(corp.privateKey),
          'ca.crt': corp.certificate,
        },
      });
      const spec = (path: string) => ({
        ca: { secretRef: { name: 'far-ca' } },
        crl: { importFrom: { url: `${origin}${path}` } },
      });
      await client.create(resources.tlsissuers, { metadata: { name: 'far' }, spec: spec('/large.crl') });
      await conditionIs('CrlTooLarge', 'far');
      await client.patch(resources.tlsissuers, { name: 'far' }, { spec: spec('/none.crl') });
      await conditionIs('CrlMissing', 'far');
      await client.patch(resources.tlsissuers, { name: 'far' }, { spec: spec('/good.crl') });
      await conditionIs('Imported', 'far');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

// The last: it ends an operator.
describe('the leader', () => {
  test('is killed in the middle: the other one cuts, resolves and reports to the end', async () => {
    const lease = await client.get(resources.leases, { namespace: system, name: 'tabard-operator' });
    const leader = Number(lease.spec?.holderIdentity?.split('-').at(-1));
    const connections = await Promise.all(sidecars.map((sidecar) => sidecar.connect(identityOf('late'))));
    await revoke('midway', { identity: identityOf('late') });
    process.kill(running.operators[leader]?.pid ?? -1, 'SIGKILL');
    await Promise.all(connections.map(({ ended }) => ended));
    const status = await statusOf('midway', 'Enforced');
    expect(status).toMatchObject({ enforced: '6/6', lagging: [] });
  });
});
