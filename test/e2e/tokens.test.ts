// End users in a cluster: an issuer of tokens that publishes its keys over HTTPS inside of the cluster, a policy that names it by URL, pods with
// sidecars. The operator fetches the keys, the sidecar of the called pod judges each request by its token, and a key that the issuer
// rotates counts within seconds.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { extension, sequence, tagged } from '../../lib/pki/asn1.ts';
import { privateKeyPem } from '../../lib/pki/keys.ts';
import { extensionIds } from '../../lib/pki/names.ts';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { apiContainer, apiService, deployment, inject, policy } from '../support/e2e/workloads.ts';
import { foreign } from '../support/foreign.ts';
import { keySet, type SigningKey, signingKey, token } from '../support/tokens.ts';

const namespace = 'tokens';
const issuer = 'https://login.example.com';
const host = `keys.${namespace}.svc.cluster.local`;
const [one, two] = [signingKey('one'), signingKey('two', 'RS256')];
let k: Kit;
let client = '';

interface Answer {
  readonly status: number;
  readonly reason: string | null;
  readonly challenge: string | null;
}

const claims = (more: object = {}): object => ({
  iss: issuer,
  aud: 'shop',
  roles: ['admin'],
  exp: Math.floor(Date.now() / 1_000) + 3_600,
  ...more,
});
const bearer = (key: SigningKey, more: object = {}): string => `Bearer ${token(key, claims(more))}`;

/** One request of the client's application for each value of Authorization; undefined = none. */
async function ask(...tokens: readonly (string | undefined)[]): Promise<readonly Answer[]> {
  const each = tokens.map((authorization) => (authorization === undefined ? {} : { authorization }));
  const script = `const answers = [];
    for (const headers of ${JSON.stringify(each)}) answers.push(await fetch('http://api:8080/health', { headers }).then(
      ({ status, headers: told }) => ({ status, reason: told.get('x-tabard-reason'), challenge: told.get('www-authenticate') }),
      (error) => ({ status: 0, reason: String(error.cause ?? error), challenge: null })));
    console.log(JSON.stringify(answers));`;
  const command = ['/usr/local/bin/node', '--input-type=module', '-e', script];
  const text = await k.kubectl(['-n', namespace, 'exec', client, '-c', 'app', '--', ...command]);
  return JSON.parse(/\[\{"status".*\]/.exec(text)?.[0] ?? '[]') as readonly Answer[];
}

const becomes = (status: number, authorization: string): Promise<Answer> =>
  until(`${status} with a token`, 90, async () => {
    const [answer] = await ask(authorization);
    return answer?.status === status ? answer : undefined;
  });

/** What the issuer publishes. */
const published = (...keys: readonly SigningKey[]): Raw => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'keys', namespace },
  data: { 'keys.json': keySet(...keys) },
});

const serve = `const { readFileSync } = require('node:fs');
const tls = { key: readFileSync('/tls/tls.key'), cert: readFileSync('/tls/tls.crt') };
require('node:https').createServer(tls, (_, response) => {
  response.setHeader('cache-control', 'max-age=3600');
  response.end(readFileSync('/keys/keys.json'));
}).listen(8443);`;

/** The issuer: its certificate, its keys, a pod that serves them and a Service. */
function issuerObjects(): { readonly caBundle: string; readonly objects: readonly Raw[] } {
  const times = { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + 86_400_000) };
  const root = foreign({ name: 'Keys Root', ...times });
  const names = extension(extensionIds.alternativeNames, false, sequence(tagged(2, host)));
  const leaf = foreign({ name: host, by: root, ca: false, ...times, extensions: [names] });
  const mounted = (name: string, source: Raw) => ({ name, ...source });
  const objects = [
    published(one),
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'keys-tls', namespace },
      type: 'kubernetes.io/tls',
      stringData: { 'tls.crt': leaf.certificate.toString(), 'tls.key': privateKeyPem(leaf.key) },
    },
    deployment({
      namespace,
      name: 'keys',
      container: {
        command: ['/usr/local/bin/node', '-e', serve],
        args: [],
        readinessProbe: { tcpSocket: { port: 8443 }, periodSeconds: 1 },
        volumeMounts: [
          { name: 'keys', mountPath: '/keys' },
          { name: 'tls', mountPath: '/tls' },
        ],
      },
      pod: {
        volumes: [
          mounted('keys', { configMap: { name: 'keys' } }),
          mounted('tls', { secret: { secretName: 'keys-tls' } }),
        ],
      },
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'keys', namespace },
      spec: { selector: { app: 'keys' }, ports: [{ port: 443, targetPort: 8443 }] },
    },
  ];
  return { caBundle: Buffer.from(root.certificate.toString()).toString('base64'), objects };
}

async function condition(type: string, status: string): Promise<Raw> {
  return until(`condition ${type} ${status}`, 90, async () => {
    const found = await k.get('tlsp', 'api', '-n', namespace);
    const conditions = (found['status']?.conditions ?? []) as readonly Raw[];
    return conditions.find((each) => each['type'] === type && each['status'] === status);
  });
}

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace);
  const { caBundle, objects } = issuerObjects();
  const jwksUri = `https://${host}/keys`;
  await k.apply(
    ...objects,
    policy(namespace, 'api', {
      selector: { matchLabels: { app: 'api' } },
      authentication: {
        required: true,
        ports: [8080],
        jwt: [{ issuer, audiences: ['shop'], jwksUri, caBundle, clockSkew: '1s' }],
      },
      authorization: {
        rules: [
          {
            name: 'admins',
            from: [{ services: ['client'] }],
            to: [{ ports: [8080] }],
            when: '"admin" in request.auth.claims.roles',
          },
        ],
      },
    }),
    deployment({ namespace, name: 'api', container: apiContainer, annotations: inject }),
    apiService(namespace, 'api'),
    deployment({ namespace, name: 'client', container: apiContainer, annotations: inject }),
  );
  await Promise.all(['keys', 'api', 'client'].map((each) => k.rolledOut(namespace, `deployment/${each}`, 180)));
  const [pod] = await k.pods(namespace, 'app=client');
  client = String(pod?.['metadata'].name);
}, 240_000);

afterAll(() => k.drop(namespace));

const invalid = { status: 401, reason: 'token_invalid', challenge: 'Bearer error="invalid_token"' };

describe('a policy that names an issuer by URL', () => {
  test('has its keys fetched inside of the cluster, and says so', async () => {
    expect(await condition('TokenKeysFetched', 'True')).toMatchObject({ reason: 'Fetched' });
    expect(await becomes(200, bearer(one))).toMatchObject({ reason: null });
  });

  test('asks for a token, lets in by its claims, and refuses others with the reason', async () => {
    const past = Math.floor(Date.now() / 1_000) - 60;
    const answers = await ask(
      undefined,
      bearer(one),
      bearer(one, { roles: ['guest'] }),
      bearer(one, { aud: 'bank' }),
      bearer(one, { exp: past }),
      bearer(signingKey('one')),
      bearer(one),
    );
    expect(answers).toEqual([
      { status: 401, reason: 'token_required', challenge: 'Bearer' },
      { status: 200, reason: null, challenge: null },
      { status: 403, reason: 'denied', challenge: null },
      invalid,
      invalid,
      invalid,
      { status: 200, reason: null, challenge: null },
    ]);
    const [pod] = await k.pods(namespace, 'app=api');
    // Of refusals of one kind and one caller that come together one has a line.
    await until('the refusal in the log, with its detail', 90, async () => {
      const log = await k.sidecarLog(namespace, String(pod?.['metadata'].name));
      if (log.some(({ detail }) => detail === 'other_audience')) return true;
      await ask(bearer(one, { aud: 'bank' }));
      return undefined;
    });
  });

  test('takes a key that the issuer rotates to within seconds, though its set was good for an hour, and lets the old one go', async () => {
    expect(await ask(bearer(two))).toEqual([invalid]);
    await k.apply(published(two));
    expect(await becomes(200, bearer(two))).toMatchObject({ reason: null });
    expect(await ask(bearer(one), bearer(two, { aud: 'bank' }))).toEqual([invalid, invalid]);
    expect(await condition('TokenKeysFetched', 'True')).toMatchObject({ reason: 'Fetched' });
  });
});
