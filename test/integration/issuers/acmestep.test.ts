// Issuer acme against step-ca, a private ACME CA as clusters run them: another implementation of the same protocol, with its own account
// rules, order states and profiles of certificates.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AcmeSolver } from '../../../lib/api/tlsissuer.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { chainVerdict } from '../../../lib/pki/verify.ts';
import { AcmeBench, type SidecarProcess } from '../../support/acmebench.ts';
import { type AcmeServer, startDns, startStepCa } from '../../support/acmeservers.ts';
import type { Daemon } from '../../support/daemon.ts';

/** The first run compiles step-ca. */
const buildMs = 1_800_000;
const orderMs = 120_000;

let bench: AcmeBench;
let application: Server;
let sidecar: SidecarProcess;
let dns: Daemon & { readonly address: string };
let stepCa: AcmeServer;

beforeAll(async () => {
  application = createServer((socket) => socket.end('the application')).listen(0, '127.0.0.1');
  await once(application, 'listening');
  bench = await AcmeBench.start();
  sidecar = await bench.sidecar((application.address() as AddressInfo).port);
  dns = await startDns();
  const port = sidecar.inboundPort;
  stepCa = await startStepCa({ httpPort: port, tlsPort: port, dns: dns.address });
}, buildMs);

afterAll(async () => {
  await stepCa?.stop();
  await dns?.stop();
  await bench?.end();
  application?.close();
});

describe('step-ca', () => {
  test.each<readonly [string, AcmeSolver]>([
    ['http-01', { http01: {} }],
    ['tls-alpn-01', { tlsAlpn01: {} }],
  ])(
    'issues by %s, and again',
    async (type, solver) => {
      const name = `step-${type}`;
      const caBundle = Buffer.from(stepCa.trust).toString('base64');
      const acme = await bench.acme(name, { server: stepCa.server, caBundle, solvers: [solver] });
      expect(await acme.settled()).toMatchObject({ ready: true });
      const first = await acme.order(['shop.example.test', 'www.shop.example.test']);
      const [leaf, ...intermediates] = parseCertificates(first.chain);
      if (leaf === undefined) throw new Error('no certificate');
      const bundle = parseCertificates(stepCa.trust);
      expect(chainVerdict({ leaf, intermediates, bundle, now: new Date() }).ok).toBe(true);
      // It has no renewal information, and none is missed.
      expect(await acme.issuer.renewal(first.chain, AbortSignal.timeout(30_000))).toBeUndefined();
      const second = await acme.order(['shop.example.test'], { replaces: first.chain });
      expect(second.serial).not.toBe(first.serial);
      await acme.stop();
    },
    orderMs,
  );
});
