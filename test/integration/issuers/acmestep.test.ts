// Issuer acme against step-ca, a private ACME CA as clusters run them: another implementation of the same protocol, with its own account
// rules, order states and profiles of certificates.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AcmeSolver } from '../../../lib/api/tlsissuer.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { chainVerdict } from '../../../lib/pki/verify.ts';
import type { AcmeBench } from '../../support/acmebench.ts';
import { type AcmeServer, startStepCa } from '../../support/acmeservers.ts';
import { type AcmeWorld, startAcmeWorld } from '../../support/acmeworld.ts';

/** The first run compiles step-ca. */
const buildMs = 1_800_000;
const orderMs = 120_000;

let world: AcmeWorld;
let bench: AcmeBench;
let stepCa: AcmeServer;

beforeAll(async () => {
  world = await startAcmeWorld();
  ({ bench } = world);
  const port = world.sidecar.inboundPort;
  stepCa = await startStepCa({ httpPort: port, tlsPort: port, dns: world.dns });
}, buildMs);

afterAll(async () => {
  await stepCa?.stop();
  await world?.end();
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
