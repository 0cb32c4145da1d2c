// Issuer `kubernetesCSR` on a real API server: with a signer of another make (OpenSSL, behind the API as any signer is), with a signer of
// Kubernetes itself, and with the rights of a service account.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../../hack/cluster/api.ts';
import type { KubernetesCsrIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { systemClock } from '../../../lib/clock.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { kubeMetrics } from '../../../lib/kube/metrics.ts';
import type { CertificateSigningRequest } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { type Connection, connect } from '../../../lib/kube/rest.ts';
import { createRequest, requestPem } from '../../../lib/pki/csr.ts';
import { generateKey } from '../../../lib/pki/keys.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import { createCsrIssuer } from '../../../operator/issuers/csr/issuer.ts';
import { OpensslCsrSigner, type SigningManner } from '../../support/csrsigner.ts';
import { testAuthority } from '../../support/pki.ts';
import { eventually, isKeyOf, leafOrder, RemoteIssuerBench, stated } from '../../support/remoteissuer.ts';

jest.setTimeout(300_000);

const signerName = 'example.com/mesh';
const { certificatesigningrequests } = resources;
const folder = mkdtempSync(join(tmpdir(), 'tabard-csr-'));
const connections: Connection[] = [];

let plane: ControlPlane;
let client: KubeClient;
let signer: OpensslCsrSigner;
let bench: RemoteIssuerBench | undefined;

beforeAll(async () => {
  plane = await startControlPlane({ controllerManager: true });
  client = clientOf(plane.kubeconfig);
  signer = new OpensslCsrSigner(client, { signerName, folder });
}, 1_200_000);

afterAll(async () => {
  for (const connection of connections) connection.close();
  await plane.stop();
  rmSync(folder, { recursive: true, force: true });
});

afterEach(async () => {
  await signer.stop();
  await bench?.stop();
  bench = undefined;
  // Whatever came of it, nothing is left behind.
  await eventually(
    async () => (await client.list(certificatesigningrequests)).items.length === 0,
    () => 'a request was left behind',
  );
});

function clientOf(kubeconfig: string): KubeClient {
  const metrics = kubeMetrics(new Metrics());
  const connection = connect({ kubeconfig, userAgent: 'tabard-test/0', clock: systemClock, metrics });
  connections.push(connection);
  return connection.client;
}

function start(spec: Partial<KubernetesCsrIssuerSpec> = {}, waitMs = 60_000, by = client): RemoteIssuerBench {
  const caBundle = Buffer.from(signer.ca).toString('base64');
  const whole = { signerName, caBundle, ...spec };
  bench = new RemoteIssuerBench({ kubernetesCSR: whole }, (object, deps) =>
    createCsrIssuer(object, { ...deps, client: by, kubeMetrics: kubeMetrics(new Metrics()), waitMs }),
  );
  return bench;
}

const day = { lifetimeMs: 86_400_000 };

describe('a leaf signed through the API', () => {
  test('is approved by us if the TLSIssuer says so, and signed by whoever the signer is', async () => {
    const issuer = start({ approve: true });
    signer.start();
    await issuer.until('ready');
    const order = await leafOrder(day);
    const leaf = await issuer.issuer.sign(order, AbortSignal.timeout(60_000));
    expect(isKeyOf(leaf.chain, order)).toBe(true);
    expect(stated(leaf.chain)).toMatchObject({
      names: 'URI:spiffe://cluster.local/ns/shop/svc/web, DNS:web, DNS:web.shop.svc.cluster.local',
      issuer: 'CN=Another CA',
    });
    expect(issuer.state).toMatchObject({ ready: true, keyId: undefined, authorities: [{ role: 'Active' }] });
  });

  test('waits for somebody else to approve it otherwise', async () => {
    const issuer = start();
    signer.start({ approve: true });
    await issuer.until('ready');
    expect(stated((await issuer.sign(day)).chain).issuer).toBe('CN=Another CA');
  });

  test('is asked for with the usages of both ends, our lifetime and nothing in the subject', async () => {
    const issuer = start({ approve: true });
    await issuer.until('ready');
    const signing = issuer.sign(day);
    let asked: CertificateSigningRequest | undefined;
    await eventually(
      async () => {
        [asked] = (await client.list(certificatesigningrequests)).items;
        return asked !== undefined;
      },
      () => 'nothing was asked for',
    );
    expect(asked?.spec).toMatchObject({
      signerName,
      expirationSeconds: 86_400,
      usages: ['digital signature', 'client auth', 'server auth'],
    });
    signer.start();
    await signing;
  });

  test('is not used before every peer trusts the CA', async () => {
    const issuer = start({ approve: true });
    issuer.distrusted.add(fingerprintOf(signer.ca));
    await issuer.until('ready');
    expect(issuer.state).toMatchObject({ authorities: [{ role: 'Next' }], rotation: { phase: 'Prepared' } });
    expect((await issuer.refusal(day)).reason).toBe('AuthorityChanging');
    issuer.distrusted.clear();
    signer.start();
    await eventually(
      async () => (await issuer.refusal(day)).reason === 'signed',
      () => JSON.stringify(issuer.state),
    );
  });

  test('comes although the API server went away in between', async () => {
    const issuer = start({ approve: true }, 120_000);
    await issuer.until('ready');
    const signing = issuer.issuer.sign(await leafOrder(day), AbortSignal.timeout(150_000));
    await eventually(
      // With its approval: a call that is cut off is the controller's to make again.
      async () => {
        const [made] = (await client.list(certificatesigningrequests)).items;
        return made?.status?.conditions?.some(({ type }) => type === 'Approved') === true;
      },
      () => 'nothing was asked for and approved',
    );
    await plane.restartApiServer();
    signer.start();
    expect(stated((await signing).chain).issuer).toBe('CN=Another CA');
  });
});

function fingerprintOf(pem: string): string {
  const text = signer.openssl(['x509', '-noout', '-fingerprint', '-sha256'], pem);
  return (text.split('=')[1] ?? '').trim().replaceAll(':', '').toLowerCase();
}

describe('a signer that does otherwise', () => {
  test('another key is refused', async () => {
    const { privateKey } = await generateKey('ECDSA-P256');
    const uris = ['spiffe://cluster.local/ns/shop/svc/web'];
    const dnsNames = ['web', 'web.shop.svc.cluster.local'];
    const request = requestPem(createRequest({ uris, dnsNames, ipAddresses: [] }, privateKey));
    await refuses({ request }, 'its key is not ours');
  });

  test.each([
    ['a longer life', { days: 20 }, '1d was asked for'],
    [
      'another identity',
      { extensions: 'subjectAltName=URI:spiffe://cluster.local/ns/shop/svc/admin' },
      'does not name URI:',
    ],
    ['no name at all', { extensions: 'basicConstraints=CA:false' }, 'does not name URI:'],
    ['a CA certificate', { extensions: 'basicConstraints=critical,CA:true' }, 'is the certificate of a CA'],
  ])('%s is refused', async (_name, manner, why) => {
    await refuses(manner, why);
  });

  test('a CA that caBundle does not name is refused', async () => {
    const { certificate } = await testAuthority();
    const issuer = start({ approve: true, caBundle: Buffer.from(certificate).toString('base64') });
    signer.start();
    await issuer.until('ready');
    expect(await issuer.refusal(day)).toMatchObject({ reason: 'CertificateNotAsAsked' });
  });

  test('Denied is said with its reason', async () => {
    const issuer = start();
    signer.start({ deny: true });
    await issuer.until('ready');
    expect(await issuer.refusal(day)).toEqual({
      reason: 'Denied',
      message: expect.stringContaining('the test says so'),
    });
  });

  test('nobody who approves is told from nobody who signs', async () => {
    const unapproved = start({}, 6_000);
    await unapproved.until('ready');
    expect((await unapproved.refusal(day)).reason).toBe('NotApproved');
    await unapproved.stop();
    const unsigned = start({ approve: true }, 6_000);
    await unsigned.until('ready');
    expect((await unsigned.refusal(day)).reason).toBe('NotSigned');
  });

  test('Failed, as the client signer of Kubernetes says to server auth, is said with its reason', async () => {
    const issuer = start({ signerName: 'kubernetes.io/kube-apiserver-client', approve: true });
    await issuer.until('ready');
    const { reason, message } = await issuer.refusal(day);
    expect(reason).toBe('SignerFailed');
    expect(message).toContain('SignerValidationFailure');
  });

  test('an order that is given up takes its request with it', async () => {
    const issuer = start({ approve: true });
    await issuer.until('ready');
    const stop = new AbortController();
    const signing = issuer.issuer.sign(await leafOrder(day), stop.signal);
    await eventually(
      async () => (await client.list(certificatesigningrequests)).items.length > 0,
      () => 'nothing was asked for',
    );
    stop.abort(new Error('given up'));
    await expect(signing).rejects.toThrow('given up');
  });
});

async function refuses(manner: SigningManner, why: string): Promise<void> {
  const issuer = start({ approve: true });
  signer.start({ sign: manner });
  await issuer.until('ready');
  const { reason, message } = await issuer.refusal(day);
  expect({ reason, message }).toEqual({ reason: 'CertificateNotAsAsked', message: expect.stringContaining(why) });
}

describe('a caBundle that is none', () => {
  test.each([
    ['garbage', 'what?'],
    ['no certificate', ''],
  ])('%s: the issuer says so', async (_name, text) => {
    await start({ caBundle: Buffer.from(text).toString('base64') }).until('AuthorityUnusable');
  });

  test('a leaf: the issuer says so', async () => {
    signer.openssl([
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'l.key',
      '-out',
      'l.crt',
      '-subj',
      '/CN=l',
      '-addext',
      'basicConstraints=critical,CA:false',
    ]);
    const caBundle = Buffer.from(readFileSync(join(folder, 'l.crt'))).toString('base64');
    await start({ caBundle }).until('AuthorityUnusable');
  });
});

describe('the rights of the operator', () => {
  test('are looked at before anything is asked for, and enough as the chart gives them', async () => {
    await plane.kubectl(['create', 'serviceaccount', 'plain', '-n', 'default']);
    const token = (await plane.kubectl(['create', 'token', 'plain', '-n', 'default'])).trim();
    const path = join(folder, 'plain.kubeconfig');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: plane.server, 'certificate-authority': plane.ca } }],
      users: [{ name: 'u', user: { token } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    const issuer = start({ approve: true }, 60_000, clientOf(path));
    await issuer.until('RightMissing');
    await grant();
    await issuer.until('ready');
    signer.start();
    expect((await issuer.refusal(day)).reason).toBe('signed');
  });
});

/** What charts/tabard gives for issuers.signers: [{name: example.com/mesh, approve: true}]. */
async function grant(): Promise<void> {
  const group = ['certificates.k8s.io'];
  const rules = [
    {
      apiGroups: group,
      resources: ['certificatesigningrequests'],
      verbs: ['create', 'get', 'list', 'watch', 'delete'],
    },
    { apiGroups: group, resources: ['certificatesigningrequests/approval'], verbs: ['patch'] },
    { apiGroups: group, resources: ['signers'], resourceNames: [signerName], verbs: ['approve'] },
  ];
  const apiVersion = 'rbac.authorization.k8s.io/v1';
  const role = { apiVersion, kind: 'ClusterRole', metadata: { name: 'plain' }, rules };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'plain' };
  const subjects = [{ kind: 'ServiceAccount', name: 'plain', namespace: 'default' }];
  const binding = { apiVersion, kind: 'ClusterRoleBinding', metadata: { name: 'plain' }, roleRef, subjects };
  await plane.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [role, binding] }),
  });
}
