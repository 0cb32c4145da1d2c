// What the operator does with sinks and with a CA in AWS: its own controllers over a cluster in memory, AWS as moto simulates it.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { TLSIssuer, TLSIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import type { TLSPolicy } from '../../../lib/api/tlspolicy.ts';
import { systemClock } from '../../../lib/clock.ts';
import type { EventFacts, EventSubject } from '../../../lib/kube/events.ts';
import type { KubeInput, KubeObject, Pod, Secret, Service } from '../../../lib/kube/object.ts';
import { type Resource, resources } from '../../../lib/kube/resources.ts';
import { ObjectStore } from '../../../lib/kube/store.ts';
import type { AuditRecord } from '../../../operator/audit/audit.ts';
import { Cluster, clusterIndexes } from '../../../operator/certificates/cluster.ts';
import { AwsAuthorities } from '../../../operator/delivery/aws/authorities.ts';
import { Sinks } from '../../../operator/delivery/sinks/controller.ts';
import { SinkOutcomes } from '../../../operator/delivery/sinks/outcomes.ts';
import { publishedCondition } from '../../../operator/delivery/sinks/status.ts';
import type { Offer, OfferTexts } from '../../../operator/issuers/ca/offer.ts';
import { issued } from '../../support/interop/secrets.ts';
import { kubeDeps } from '../../support/kubedeps.ts';
import { awsCredentials, awsRegion, startAws, type TestAws } from '../../support/moto.ts';
import { testAuthority } from '../../support/pki.ts';

const minute = 60_000;
const authority = await testAuthority();
let aws: TestAws;
beforeAll(async () => {
  aws = await startAws();
}, 10 * minute);
afterAll(() => aws?.stop(), minute);

/** The operator's stores, filled by hand. */
class Bench {
  readonly pods = new ObjectStore<Pod>(clusterIndexes.pods);
  readonly services = new ObjectStore<Service>(clusterIndexes.services);
  readonly policies = new ObjectStore<TLSPolicy>(clusterIndexes.policies);
  readonly secrets = new ObjectStore<Secret>();
  readonly ownSecrets = new ObjectStore<Secret>();
  readonly issuers = new ObjectStore<TLSIssuer>();
  readonly events: string[] = [];
  readonly audited: string[] = [];
  readonly outcomes = new SinkOutcomes();
  readonly offered = new Map<string, OfferTexts | Offer>();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>[] = [];
  #version = 0;

  constructor() {
    for (const store of [this.pods, this.services, this.policies, this.secrets, this.ownSecrets, this.issuers])
      store.replace([]);
  }

  /** A newly started operator; several may run one after the other. */
  start(): AbortController {
    const { logger, registry: metrics, metrics: kubeMetrics } = kubeDeps();
    const stop = new AbortController();
    const record = ({ kind, name }: EventSubject, { reason }: EventFacts): void => {
      this.events.push(`${reason} ${kind}/${name}`);
    };
    const shared = {
      clock: systemClock,
      logger,
      metrics,
      kubeMetrics,
      events: { record },
      cluster: new Cluster(this),
      ownSecrets: this.ownSecrets,
      secrets: this.secrets,
      policies: this.policies,
      issuers: this.issuers,
      namespace: 'tabard-system',
      trustDomain: 'cluster.local',
      tokensFolder: '/nonexistent',
      userAgent: 'test',
      audit: { record: ({ action }: AuditRecord) => void this.audited.push(action) },
      sinkOutcomes: this.outcomes,
      offers: { put: (name: string, found: OfferTexts | Offer) => void this.offered.set(name, found) },
    };
    const signal = AbortSignal.any([stop.signal, this.#stop.signal]);
    for (const part of [new Sinks(shared), new AwsAuthorities(shared)]) this.#running.push(part.run(signal));
    return stop;
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await Promise.allSettled(this.#running);
  }

  put<T extends KubeObject>(store: ObjectStore<T>, resource: Resource<T>, input: KubeInput): void {
    this.#version += 1;
    const { metadata, ...rest } = input;
    const added = {
      uid: `${resource.kind}-${metadata.name}`,
      resourceVersion: String(this.#version),
      creationTimestamp: '2026-01-01T00:00:00Z',
    };
    const object = {
      apiVersion: 'v1',
      kind: resource.kind,
      ...rest,
      metadata: { ...added, generation: this.#version, ...metadata },
    };
    store.set(object as unknown as T, String(this.#version));
  }

  issuer(name: string, spec: TLSIssuerSpec): void {
    this.put(this.issuers, resources.tlsissuers, { metadata: { name }, spec });
  }

  /** A policy for all pods of the namespace, or for those of one service. */
  policy(sinks: readonly string[], service?: string): void {
    const selector = service === undefined ? {} : { selector: { matchLabels: { app: service } } };
    const metadata = { name: service ?? 'all', namespace: 'shop' };
    const spec = { ...selector, certificate: { issuer: 'cluster', sinks } };
    this.put(this.policies, resources.tlspolicies, { metadata, spec });
  }

  pod(service: string): void {
    const labels = { app: service, 'tabard.dev/injected': 'certificate' };
    const metadata = {
      name: `${service}-1`,
      namespace: 'shop',
      labels,
      annotations: { 'tabard.dev/service': service },
    };
    this.put(this.pods, resources.pods, { metadata, spec: { containers: [] }, status: { phase: 'Running' } });
  }

  /** A new certificate; its serial. */
  async certificate(service: string): Promise<string> {
    const { files, serial } = await issued(service, authority, [authority]);
    const data = Object.fromEntries(Object.entries(files).map(([name, value]) => [name, value.toString('base64')]));
    const metadata = {
      name: `tabard-${service}`,
      namespace: 'shop',
      labels: { 'app.kubernetes.io/managed-by': 'tabard', 'tabard.dev/service': service },
      annotations: { 'tabard.dev/serial': serial, 'tabard.dev/issuer': 'cluster' },
    };
    this.put(this.secrets, resources.secrets, { metadata, type: 'kubernetes.io/tls', data });
    return serial;
  }

  credentials(values: Readonly<Record<string, string>>): void {
    const data = Object.fromEntries(
      Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    );
    this.put(this.ownSecrets, resources.secrets, { metadata: { name: 'aws', namespace: 'tabard-system' }, data });
  }
}

let bench: Bench;
let prefix = '';
let count = 0;
beforeEach(() => {
  bench = new Bench();
  count += 1;
  prefix = `run-${count}`;
});
afterEach(() => bench.stop(), minute);

const sink = () => ({
  name: 'aws',
  awsSecretsManager: { region: awsRegion, endpoint: aws.endpoint, prefix, credentialsSecretRef: { name: 'aws' } },
});
const serialOf = async (service: string): Promise<string | undefined> => {
  const value = await aws.value(`${prefix}/shop/${service}`);
  return value === undefined ? undefined : (JSON.parse(value) as { readonly serial: string }).serial;
};
/** Waits until something is seen; what was seen last, when it is not. */
async function until<T>(see: () => T | Promise<T>, wanted: (seen: T) => boolean): Promise<T> {
  const deadline = Date.now() + minute;
  for (;;) {
    const seen = await see();
    if (wanted(seen) || Date.now() > deadline) return seen;
    await systemClock.sleep(50, AbortSignal.timeout(minute));
  }
}
const is =
  <T>(value: T) =>
  (seen: T) =>
    seen === value;

describe('the sinks of a policy', () => {
  test(
    'get the certificate, and the next one as soon as it is there (external-secrets#6069: a poll missed it)',
    async () => {
      bench.credentials(awsCredentials);
      bench.issuer('cluster', { selfSigned: {}, sinks: [sink()] });
      bench.policy(['aws']);
      bench.pod('web');
      const serial = await bench.certificate('web');
      bench.start();
      expect(await until(() => serialOf('web'), is<string | undefined>(serial))).toBe(serial);
      const next = await bench.certificate('web');
      expect(await until(() => serialOf('web'), is<string | undefined>(next))).toBe(next);
      expect(bench.events).toEqual([]);
    },
    3 * minute,
  );

  test(
    'get no further version because an operator starts, or because a policy is touched',
    async () => {
      bench.credentials(awsCredentials);
      bench.issuer('cluster', { selfSigned: {}, sinks: [sink()] });
      bench.policy(['aws']);
      bench.pod('web');
      const serial = await bench.certificate('web');
      const first = bench.start();
      await until(() => serialOf('web'), is<string | undefined>(serial));
      first.abort(new Error('the lease went to another'));
      bench.start();
      bench.policy(['aws']);
      // Something else is published after both, by which their turn has come.
      bench.pod('api');
      const other = await bench.certificate('api');
      await until(() => serialOf('api'), is<string | undefined>(other));
      expect(await aws.versions(`${prefix}/shop/web`)).toBe(1);
    },
    3 * minute,
  );

  test(
    'get nothing of services whose policy does not name them',
    async () => {
      bench.credentials(awsCredentials);
      bench.issuer('cluster', { selfSigned: {}, sinks: [sink()] });
      bench.policy([]);
      bench.policy(['aws'], 'web');
      bench.pod('api');
      bench.pod('web');
      await bench.certificate('api');
      const serial = await bench.certificate('web');
      bench.start();
      expect(await until(() => serialOf('web'), is<string | undefined>(serial))).toBe(serial);
      expect(await serialOf('api')).toBeUndefined();
    },
    3 * minute,
  );

  test(
    'that are missing, or whose credentials are, are told of once and used as soon as they are there',
    async () => {
      bench.issuer('cluster', { selfSigned: {} });
      bench.policy(['aws']);
      bench.pod('web');
      const serial = await bench.certificate('web');
      bench.start();
      const told = () => bench.events.join();
      const condition = () => {
        const { status, reason } =
          publishedCondition(['aws'], { namespace: 'shop', services: ['web'] }, bench.outcomes) ?? {};
        return `${status} ${reason}`;
      };
      expect(await until(told, is('SinkMissing TLSPolicy/all'))).toBe('SinkMissing TLSPolicy/all');
      expect(condition()).toBe('False SinkMissing');
      bench.issuer('cluster', { selfSigned: {}, sinks: [sink()] });
      const both = 'SinkMissing TLSPolicy/all,SinkCredentialMissing TLSPolicy/all';
      expect(await until(told, is(both))).toBe(both);
      bench.credentials(awsCredentials);
      expect(await until(() => serialOf('web'), is<string | undefined>(serial))).toBe(serial);
      expect(told()).toBe(both);
      expect(await until(condition, is('True Published'))).toBe('True Published');
      expect(bench.audited).toEqual(['SinkFailed', 'SinkFailed', 'SinkWritten']);
    },
    3 * minute,
  );
});

describe('a CA in AWS Secrets Manager', () => {
  const texts = { 'tls.crt': 'certificate', 'tls.key': 'key', 'ca.crt': 'bundle' };
  const spec = (secretId: string): TLSIssuerSpec => ({
    ca: {
      awsSecretsManager: { secretId, region: awsRegion, endpoint: aws.endpoint, credentialsSecretRef: { name: 'aws' } },
    },
  });
  const offered = () => bench.offered.get('corporate');

  test(
    'is offered to its issuer',
    async () => {
      await aws.create(`${prefix}/ca`, JSON.stringify(texts));
      bench.credentials(awsCredentials);
      bench.issuer('corporate', spec(`${prefix}/ca`));
      bench.start();
      expect(await until(offered, (seen) => seen !== undefined)).toEqual({
        certificate: 'certificate',
        key: 'key',
        bundle: 'bundle',
      });
    },
    3 * minute,
  );

  test.each([
    { name: 'is not there', value: undefined, says: 'AWS has no secret' },
    { name: 'is no JSON', value: 'PEM', says: 'is no JSON object with "tls.crt"' },
  ])(
    'that $name is refused with what is wrong',
    async ({ value, says }) => {
      if (value !== undefined) await aws.create(`${prefix}/ca`, value);
      bench.credentials(awsCredentials);
      bench.issuer('corporate', spec(`${prefix}/ca`));
      bench.start();
      expect(await until(offered, (seen) => seen !== undefined)).toMatchObject({
        kind: 'refused',
        message: expect.stringContaining(says),
      });
    },
    3 * minute,
  );
});
