// Issuer acme against pebble, with every third good nonce refused: a sidecar process answers the challenges, and the CA comes to its
// port as it would come to the service's.
import { createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AcmeSolver } from '../../../lib/api/tlsissuer.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { parsePrivateKey } from '../../../lib/pki/keys.ts';
import { type AcmeBench, type SidecarProcess, system } from '../../support/acmebench.ts';
import {
  type AcmeServer,
  type PebbleServer,
  postManagement,
  revocationAt,
  startPebble,
} from '../../support/acmeservers.ts';
import { type PebbleWorld, startPebbleWorld } from '../../support/acmeworld.ts';
import { freePorts } from '../../support/daemon.ts';
import { type HttpsProxy, startHttpsProxy } from '../../support/httpsproxy.ts';
import { received, until } from '../../support/pocketmesh.ts';

const refusedNonces = 33;
/** The first run compiles pebble. */
const buildMs = 900_000;
const orderMs = 120_000;
const day = 86_400_000;

let world: PebbleWorld;
let bench: AcmeBench;
let sidecar: SidecarProcess;
let pebble: PebbleServer;
let proxy: HttpsProxy;

beforeAll(async () => {
  world = await startPebbleWorld({ refusedNonces, chainLength: 2, blocked: ['blocked.example.test'] });
  ({ bench, sidecar, pebble, proxy } = world);
}, buildMs);

afterAll(() => world?.end());

const http01: AcmeSolver = { http01: {} };

/** Settings for an ACME server, with one solver. */
function settings(of: Pick<AcmeServer, 'server' | 'trust'>, solver: AcmeSolver = http01) {
  return {
    server: of.server,
    caBundle: Buffer.from(of.trust).toString('base64'),
    solvers: [solver],
    // Without a wish pebble takes any.
    profile: 'default',
  };
}

function leafOf(chain: string): X509Certificate {
  return new X509Certificate(chain);
}

/** What remains of challenges in the API server. */
async function secretsLeft(): Promise<readonly string[]> {
  const { items } = await bench.deps.client.list(resources.secrets, { namespace: system });
  return items.map(({ metadata }) => metadata.name).filter((name) => name.startsWith('tabard-challenges'));
}

describe('a certificate', () => {
  test.each<readonly [string, AcmeSolver]>([
    ['http-01', http01],
    ['tls-alpn-01', { tlsAlpn01: {} }],
  ])(
    'is had by %s, answered by the sidecar although its port is Mutual',
    async (type, solver) => {
      const acme = await bench.acme(`by-${type}`, settings(pebble, solver));
      expect(await acme.settled()).toMatchObject({ ready: true, mesh: false });
      const names = ['shop.example.test', 'www.shop.example.test'];
      const { chain, notAfter } = await acme.order(names);
      const [leaf, issuer] = parseCertificates(chain);
      expect(leaf?.subjectAltName?.split(', ').sort()).toEqual(names.map((name) => `DNS:${name}`));
      expect(leaf?.checkIssued(issuer ?? leaf)).toBe(true);
      expect(notAfter.getTime()).toBeGreaterThan(Date.now() + 80 * day);
      const answered = sidecar.lines.filter(({ msg, type: of }) => msg === 'challenge answered' && of === type);
      expect(answered.length).toBeGreaterThanOrEqual(names.length);
      expect(await secretsLeft()).toEqual([]);
      await acme.stop();
    },
    orderMs,
  );

  test(
    'has the lifetime of the profile that was asked for',
    async () => {
      const acme = await bench.acme('profile', { ...settings(pebble), profile: 'shortlived' });
      await acme.settled();
      const { notAfter } = await acme.order(['short.example.test']);
      expect(notAfter.getTime() - Date.now()).toBeLessThan(6.1 * day);
      await acme.stop();
    },
    orderMs,
  );

  test(
    'is revoked at the CA with the reason, once and again, and not without the certificate',
    async () => {
      const acme = await bench.acme('revoked', settings(pebble));
      await acme.settled();
      const { chain, serial } = await acme.order(['revoked.example.test']);
      const certificate = leafOf(chain).raw;
      const signal = AbortSignal.timeout(60_000);
      expect(await revocationAt(pebble, serial)).toMatchObject({ Status: 'Valid' });
      const leaf = { serial, certificate, reason: 'keyCompromise' } as const;
      expect(await acme.issuer.revoke(leaf, signal)).toBeUndefined();
      expect(await revocationAt(pebble, serial)).toMatchObject({ Status: 'Revoked', Reason: 1 });
      expect(await acme.issuer.revoke(leaf, signal)).toBeUndefined();
      const { never } = (await acme.issuer.revoke({ ...leaf, certificate: undefined }, signal)) ?? {};
      expect(never).toContain('wants to see the certificate');
      await acme.stop();
    },
    orderMs,
  );

  test(
    'is renewed when the CA says, and names the one that it replaces',
    async () => {
      const acme = await bench.acme('ari', settings(proxy));
      await acme.settled();
      let first = await acme.order(['ari.example.test']);
      // Pebble loses an order whose serial number begins with a zero octet in DER, which one of 256 does.
      while (leafOf(first.chain).serialNumber.length < 16) first = await acme.order(['ari.example.test']);
      const signal = AbortSignal.timeout(30_000);
      const usual = await acme.issuer.renewal(first.chain, signal);
      expect(usual?.renewAt.getTime()).toBeGreaterThan(Date.now() + 30 * day);
      expect(usual?.renewAt.getTime()).toBeLessThan(first.notAfter.getTime());
      // The CA has to revoke it, say: it moves the window into the past (RFC 9773 section 4.2).
      const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' };
      const ARIResponse = JSON.stringify({ suggestedWindow, explanationURL: 'https://ca.example.test/why' });
      await postManagement(pebble, '/set-renewal-info/', { Certificate: leafOf(first.chain).toString(), ARIResponse });
      const moved = await acme.issuer.renewal(first.chain, signal);
      expect(moved).toMatchObject({ explanation: 'https://ca.example.test/why' });
      expect(moved?.renewAt.getTime()).toBeLessThan(Date.parse('2026-01-02T00:00:00Z'));
      const second = await acme.order(['ari.example.test'], { replaces: first.chain });
      expect(second.serial).not.toBe(first.serial);
      // The CA took note: it lets nobody replace the same one again, and a new one is had all the same.
      const noted = (): boolean => bench.deps.lines.some(({ msg }) => msg.startsWith('acme order made without naming'));
      expect(noted()).toBe(false);
      await acme.order(['ari.example.test'], { replaces: first.chain });
      expect(noted()).toBe(true);
      await acme.stop();
    },
    orderMs,
  );

  test(
    'is refused when it is not the one that was asked for',
    async () => {
      const acme = await bench.acme('swapped', settings(proxy));
      await acme.settled();
      const other = await acme.order(['other.example.test']);
      proxy.change = (body) => (body.startsWith('-----BEGIN CERTIFICATE') ? other.chain : body);
      await expect(acme.order(['mine.example.test'])).rejects.toMatchObject({
        reason: 'CertificateWrong',
        retryable: false,
      });
      proxy.change = (body) => body;
      await acme.stop();
    },
    orderMs,
  );
});

describe('a sidecar with a challenge', () => {
  test(
    'answers that and nothing else: other plaintext is refused, and its TLS port still wants a certificate',
    async () => {
      const acme = await bench.acme('strict', settings(proxy));
      await acme.settled();
      const { promise: looked, resolve: release } = Promise.withResolvers<void>();
      let answers: readonly string[] = [];
      // The CA is told that it may look when we have looked ourselves.
      proxy.before = (path) => (path.includes('/chalZ/') ? looked : Promise.resolve());
      const challenge = bench.challengesUp().then(async ([up]) => {
        if (up?.type !== 'http-01') throw new Error('no http-01 challenge');
        const ask = async (path: string): Promise<string> => {
          const socket = connect(sidecar.inboundPort, '127.0.0.1');
          socket.write(`GET ${path} HTTP/1.1\r\nhost: strict.example.test\r\n\r\n`);
          return (await received(socket)).text;
        };
        await until(() => bench.reported().includes(up.token), 'the sidecar says that it answers', 60_000);
        const good = await ask(`/.well-known/acme-challenge/${up.token}`);
        answers = [good, await ask('/.well-known/acme-challenge/another'), await ask('/'), await ask(`/x/${up.token}`)];
        expect(good).toContain(`\r\n\r\n${up.keyAuthorization}`);
        expect(await tlsWithout(sidecar.inboundPort)).toBe('');
        release();
      });
      const leaf = acme.order(['strict.example.test']);
      await Promise.all([challenge, leaf]);
      proxy.before = () => Promise.resolve();
      expect(answers.map((text) => text.split('\r\n')[0])).toEqual([
        'HTTP/1.1 200 OK',
        ...Array.from({ length: 3 }, () => 'HTTP/1.1 403 Forbidden'),
      ]);
      await acme.stop();
    },
    orderMs,
  );

  test('does not agree to acme-tls/1 when there is none', async () => {
    const socket = connectTls({
      host: '127.0.0.1',
      port: sidecar.inboundPort,
      servername: 'shop.example.test',
      ALPNProtocols: ['acme-tls/1'],
      rejectUnauthorized: false,
    });
    const outcome = await Promise.race([
      once(socket, 'secureConnect').then(() => 'agreed'),
      once(socket, 'error').then(
        () => 'refused',
        () => 'refused',
      ),
      once(socket, 'close').then(() => 'refused'),
    ]).catch(() => 'refused');
    socket.destroy();
    expect(outcome).toBe('refused');
  });
});

/** What a TLS client without a certificate gets from the application behind a port. */
async function tlsWithout(port: number): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port, servername: 'web', rejectUnauthorized: false });
  return (await received(socket)).text;
}

describe('an account', () => {
  test(
    'gets another key when the annotation asks for it, once for each reason',
    async () => {
      const acme = await bench.acme('rollover', settings(pebble));
      await acme.settled();
      const before = await accountKey('rollover');
      bench.annotate('rollover', { 'tabard.dev/rotate-account-key': 'a laptop was lost' });
      await until(() => audits('AccountKeyChanged').length === 1, 'the key was replaced', 60_000);
      const after = await accountKey('rollover');
      expect(after.key).not.toBe(before.key);
      expect(Object.keys(after.data)).toEqual(['tls.key']);
      await acme.order(['rollover.example.test']);
      await acme.stop();
      // Another leader finds the annotation and the new key, and has nothing to do.
      const next = await bench.acme('rollover', settings(pebble));
      bench.annotate('rollover', { 'tabard.dev/rotate-account-key': 'a laptop was lost' });
      expect(await next.settled()).toMatchObject({ ready: true });
      await next.order(['rollover.example.test']);
      expect((await accountKey('rollover')).key).toBe(after.key);
      expect(audits('AccountKeyChanged')).toHaveLength(1);
      await next.stop();
    },
    orderMs,
  );

  test(
    'stays as it is when the CA refuses the next key for good',
    async () => {
      const acme = await bench.acme('refused', settings(proxy));
      await acme.settled();
      const before = await accountKey('refused');
      const body = JSON.stringify({ type: 'urn:ietf:params:acme:error:unauthorized', detail: 'no other keys' });
      proxy.instead = (path) => (path.includes('rollover') ? { status: 403, body } : undefined);
      bench.annotate('refused', { 'tabard.dev/rotate-account-key': 'refused' });
      const told = (): boolean =>
        bench.deps.lines.some(({ msg }) => msg === 'acme account key not replaced, the old one stays');
      await until(told, 'it is told', 60_000);
      proxy.instead = () => undefined;
      await acme.order(['refused.example.test']);
      expect(await accountKey('refused')).toEqual(before);
      await acme.stop();
    },
    orderMs,
  );

  test(
    'is kept when the operator died between the CA’s yes and the note of it',
    async () => {
      const acme = await bench.acme('crash', settings(pebble));
      await acme.settled();
      bench.annotate('crash', { 'tabard.dev/rotate-account-key': 'crash' });
      let written = 0;
      bench.deps.client.onCall = ({ verb, resource, ref }) => {
        if (verb !== 'patch' || resource !== 'secrets' || ref.name !== 'account-crash') return;
        written += 1;
        if (written === 2) throw new Error('killed');
      };
      await until(() => written >= 2, 'the CA has the new key and the Secret still has both', 60_000);
      bench.deps.client.onCall = () => undefined;
      expect(Object.keys((await accountKey('crash')).data).sort()).toEqual(['next.key', 'tls.key']);
      await acme.stop();
      const next = await bench.acme('crash', settings(pebble));
      expect(await next.settled()).toMatchObject({ ready: true });
      expect(Object.keys((await accountKey('crash')).data)).toEqual(['tls.key']);
      await next.order(['crash.example.test']);
      await next.stop();
    },
    orderMs,
  );
});

async function accountKey(
  issuer: string,
): Promise<{ readonly key: string; readonly data: Readonly<Record<string, string>> }> {
  const secret = await bench.deps.client.get(resources.secrets, { namespace: system, name: `account-${issuer}` });
  const pem = Buffer.from(secret.data?.['tls.key'] ?? '', 'base64').toString('utf8');
  const key = createPublicKey(parsePrivateKey(pem).export({ type: 'pkcs8', format: 'pem' }));
  return { key: key.export({ type: 'spki', format: 'pem' }), data: secret.data ?? {} };
}

function audits(action: string) {
  return bench.deps.lines.filter((line) => line.msg === 'audit' && line['action'] === action);
}

describe('a failure', () => {
  test.each<readonly [string, string, readonly string[], Readonly<Record<string, unknown>>]>([
    ['a name that the CA does not issue for', 'NameRefused', ['blocked.example.test'], {}],
    ['a wildcard without dns-01', 'NoSolver', ['*.example.test'], {}],
    [
      'a name in none of the zones',
      'NoSolver',
      ['a.example.test'],
      { solvers: [{ ...http01, dnsZones: ['other.test'] }] },
    ],
    ['a profile that the CA does not have', 'ProfileUnknown', ['a.example.test'], { profile: 'tlsclient' }],
  ])(
    'is told by its reason: %s is %s',
    async (_, reason, names, more) => {
      const acme = await bench.acme('reasons', { ...settings(pebble), ...more });
      await acme.settled();
      await expect(acme.order(names)).rejects.toMatchObject({ reason, retryable: false, code: 'issuer_failed' });
      expect(await secretsLeft()).toEqual([]);
      await acme.stop();
    },
    orderMs,
  );

  test(
    'of a validation says what the CA saw, and leaves nothing behind',
    async () => {
      const [closed = 0] = await freePorts(1);
      const keys = { 'kid-1': 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W' };
      const strict = await startPebble({ httpPort: closed, tlsPort: closed, dns: world.dns, bindingKeys: keys });
      const binding = { keyID: 'kid-1', keySecretRef: { name: 'binding', key: 'mac' } };
      try {
        const stranger = await bench.acme('stranger', settings(strict));
        expect(await stranger.settled()).toMatchObject({ ready: false, fault: 'BindingRequired' });
        await stranger.stop();
        await bench.secret('binding-wrong', { mac: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' });
        const wrong = { ...binding, keySecretRef: { name: 'binding-wrong', key: 'mac' } };
        const impostor = await bench.acme('impostor', { ...settings(strict), externalAccountBinding: wrong });
        expect(await impostor.settled()).toMatchObject({ ready: false, fault: 'AccountRefused' });
        await impostor.stop();
        await bench.secret('binding', { mac: keys['kid-1'] });
        const bound = await bench.acme('bound', { ...settings(strict), externalAccountBinding: binding });
        expect(await bound.settled()).toMatchObject({ ready: true });
        await expect(bound.order(['unreachable.example.test'])).rejects.toMatchObject({
          reason: 'ChallengeFailed',
          retryable: true,
          message: expect.stringContaining('unreachable.example.test'),
        });
        expect(await secretsLeft()).toEqual([]);
        await bound.stop();
      } finally {
        await strict.stop();
      }
    },
    orderMs,
  );

  test.each([
    [429, { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many certificates' }],
    [503, undefined],
  ] as const)(
    'of a limit (HTTP %i) says how long to stay away',
    async (status, problem) => {
      const acme = await bench.acme('limited', settings(proxy));
      await acme.settled();
      const body = problem === undefined ? '' : JSON.stringify(problem);
      proxy.instead = (path) =>
        path.includes('order-plz') ? { status, headers: { 'retry-after': '7200' }, body } : undefined;
      await expect(acme.order(['limited.example.test'])).rejects.toMatchObject({
        reason: 'RateLimited',
        retryable: true,
        retryAfterMs: 7_200_000,
      });
      proxy.instead = () => undefined;
      await acme.order(['limited.example.test']);
      await acme.stop();
    },
    orderMs,
  );

  test(
    'of a server that is down, or not ours, is no more than that',
    async () => {
      const [closed = 0] = await freePorts(1);
      const down = await bench.acme(
        'down',
        settings({ server: `https://127.0.0.1:${closed}/dir`, trust: pebble.trust }),
      );
      expect(await down.settled()).toMatchObject({ ready: false, fault: 'Unreachable' });
      await down.stop();
      const untrusted = await bench.acme('untrusted', settings({ server: pebble.server, trust: proxy.trust }));
      expect(await untrusted.settled()).toMatchObject({ ready: false, fault: 'Unreachable' });
      await untrusted.stop();
      proxy.instead = () => ({ status: 200, body: 'x'.repeat(600 * 1024) });
      const huge = await bench.acme('huge', settings(proxy));
      expect(await huge.settled()).toMatchObject({ ready: false, fault: 'BadAnswer' });
      proxy.instead = () => undefined;
      await huge.stop();
    },
    orderMs,
  );

  test(
    'of the CA at a renewal, and the loss of all its accounts, are overcome without a hand',
    async () => {
      const first = await startPebble({
        httpPort: sidecar.inboundPort,
        tlsPort: sidecar.inboundPort,
        dns: world.dns,
      });
      const front = await startHttpsProxy(first.server);
      const acme = await bench.acme('lost', settings(front));
      await acme.settled();
      const before = await acme.order(['lost.example.test']);
      await first.stop();
      await expect(acme.order(['lost.example.test'])).rejects.toMatchObject({ code: 'issuer_failed', retryable: true });
      const second = await startPebble({
        httpPort: sidecar.inboundPort,
        tlsPort: sidecar.inboundPort,
        dns: world.dns,
      });
      front.aim(second.server);
      const after = await acme.order(['lost.example.test'], { replaces: before.chain });
      expect(leafOf(after.chain).subjectAltName).toBe('DNS:lost.example.test');
      await acme.stop();
      await front.stop();
      await second.stop();
    },
    orderMs,
  );
});
