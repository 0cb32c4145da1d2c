// A name from an annotation, a workload, a Service or a policy never becomes another identity, whatever it is: through admission, the operator's wishes and
// the CA to what a peer reads in the certificate it is exactly the intended one, or there is no certificate.
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { annotations } from '../../../../lib/api/contract.ts';
import { AppError } from '../../../../lib/errors.ts';
import type { Pod } from '../../../../lib/kube/object.ts';
import { type IssuedLeaf, issueLeaf } from '../../../../lib/pki/ca.ts';
import { nameKinds, pathFacts } from '../../../../lib/pki/facts.ts';
import {
  dnsNamesOf,
  identityOf,
  isDnsName,
  isNameElsewhere,
  isServiceName,
  parseAlternativeNames,
  parseIdentity,
} from '../../../../lib/pki/identity.ts';
import { generateKey } from '../../../../lib/pki/keys.ts';
import { certificateSettings } from '../../../../lib/policy/effective.ts';
import { serviceKeyOf } from '../../../../operator/certificates/cluster.ts';
import { meshPod } from '../../../../operator/mesh/workloads.ts';
import { type JsonObject, objectAt, stringAt } from '../../../../webhook/json.ts';
import { hostileLeaf, hostileName, hostileNames } from '../../../support/hostile.ts';
import { testAuthority } from '../../../support/pki.ts';
import { testPolicy } from '../../../support/policies.ts';
import { runs, runsTimeout } from '../../../support/runs.ts';
import { admitted, patched } from '../../../support/webhook.ts';

const authority = await testAuthority();
const { publicKey } = await generateKey('ECDSA-P256');
const now = new Date();

/** A leaf, or undefined when the CA refuses; any other failure is one of the test. */
function issued(namespace: string, service: string, dnsNames: readonly string[]): IssuedLeaf | undefined {
  const identity = { trustDomain: 'cluster.local', namespace, service };
  try {
    return issueLeaf({ authority, publicKey, identity, dnsNames, now, lifetimeMs: 3_600_000 });
  } catch (error) {
    if (error instanceof AppError && error.code === 'pki_invalid') return undefined;
    throw error;
  }
}

/** That a certificate states exactly these names, by OpenSSL's text and by its bytes. */
function expectExactly(pem: string, uri: string, dnsNames: readonly string[]): void {
  const certificate = new X509Certificate(pem);
  expect(identityOf(certificate)).toBe(uri);
  const read = parseAlternativeNames(certificate.subjectAltName ?? '');
  expect(read).toEqual([{ kind: 'URI', value: uri }, ...dnsNames.map((value) => ({ kind: 'DNS', value }))]);
  const raw = pathFacts(certificate).alternativeNames.map(({ kind, content }) => [kind, content.toString('latin1')]);
  expect(raw).toEqual([[nameKinds.uri, uri], ...dnsNames.map((value) => [nameKinds.dns, value])]);
  expect(certificate.subject ?? '').toBe('');
}

const podOf = (metadata: JsonObject): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', ...metadata },
  spec: { containers: [{ name: 'app', image: 'app' }] },
});

const owner = fc.record({
  kind: fc.constantFrom('ReplicaSet', 'StatefulSet', 'Job', 'Workflow'),
  name: hostileName,
  hash: hostileName,
});

describe('a name never becomes another identity', () => {
  test(
    'from an annotation: it is refused, or it is the service to the letter',
    () => {
      fc.assert(
        fc.property(hostileName, (name) => {
          const pod = podOf({ name: 'p', annotations: { [annotations.inject]: 'true', [annotations.service]: name } });
          const { answer } = admitted(pod);
          if (!answer.allowed) return expect(isServiceName(name)).toBe(false);
          const after = patched(pod, answer.operations);
          expect(stringAt(after, 'metadata', 'annotations', annotations.service)).toBe(name);
          const leaf = issued('shop', name, []);
          expect(leaf).toBeDefined();
          return expectExactly(leaf?.certificate ?? '', `spiffe://cluster.local/ns/shop/svc/${name}`, []);
        }),
        runs(400),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'from a workload or a pod: the service is a name that can stand in an identity, and the operator takes it as it is',
    () => {
      fc.assert(
        fc.property(owner, hostileName, ({ kind, name, hash }, podName) => {
          const reference = { apiVersion: 'apps/v1', kind, name, uid: 'u', controller: true };
          const stated = { [annotations.inject]: 'true' };
          const labels = { 'pod-template-hash': hash };
          const pod = podOf({ name: podName, annotations: stated, labels, ownerReferences: [reference] });
          const after = patched(pod, admitted(pod).answer.operations);
          const service = stringAt(after, 'metadata', 'annotations', annotations.service) ?? '';
          expect(isServiceName(service)).toBe(true);
          // As the API server hands it to the operator.
          const seen = { ...after, metadata: { uid: 'p', ...objectAt(after, 'metadata') } } as unknown as Pod;
          expect(serviceKeyOf(seen)).toBe(`shop/${service}`);
          expect(meshPod(seen, 'cluster.local')?.identity).toBe(`spiffe://cluster.local/ns/shop/svc/${service}`);
        }),
        runs(400),
      );
    },
    runsTimeout(60_000),
  );

  test('from a pod that somebody marked by hand: it is of no service, unless the name is one', () => {
    fc.assert(
      fc.property(hostileName, (name) => {
        const metadata = { name: 'p', namespace: 'shop', uid: 'p', labels: { 'tabard.dev/injected': 'true' } };
        const pod = { metadata: { ...metadata, annotations: { [annotations.service]: name } } } as unknown as Pod;
        const known = isServiceName(name);
        expect(serviceKeyOf(pod)).toBe(known ? `shop/${name}` : undefined);
        expect(meshPod(pod, 'cluster.local')?.service).toBe(known ? name : undefined);
      }),
      runs(400),
    );
  });

  test(
    'from Services and a policy: the certificate names exactly them, none of another namespace, or there is none',
    () => {
      const services = fc.array(fc.record({ name: hostileName, headless: fc.boolean() }), { maxLength: 3 });
      const namespaces = fc.constantFrom('shop', 'svc', 'cluster', 'local', 'a');
      fc.assert(
        fc.property(namespaces, services, fc.array(hostileName, { maxLength: 4 }), (namespace, named, asked) => {
          const policy = testPolicy('web', { certificate: { dnsNames: asked } }, { namespace });
          const { dnsNames: extra } = certificateSettings(policy);
          const request = { namespace, clusterDomain: 'cluster.local', services: named, extra };
          const dnsNames = dnsNamesOf(request);
          expect(dnsNames.filter((name) => isNameElsewhere(name, namespace, 'cluster.local'))).toEqual([]);
          const leaf = issued(namespace, 'web', dnsNames);
          if (leaf === undefined) return expect(dnsNames.every(isDnsName)).toBe(false);
          return expectExactly(leaf.certificate, `spiffe://cluster.local/ns/${namespace}/svc/web`, dnsNames);
        }),
        runs(400),
      );
    },
    runsTimeout(60_000),
  );

  test(
    'from a namespace or trust domain that no cluster has: there is no certificate, or exactly that one',
    () => {
      fc.assert(
        fc.property(hostileName, hostileName, (namespace, service) => {
          const leaf = issued(namespace, service, []);
          const uri = `spiffe://cluster.local/ns/${namespace}/svc/${service}`;
          if (leaf === undefined) return expect(parseIdentity(uri)).toBeUndefined();
          return expectExactly(leaf.certificate, uri, []);
        }),
        runs(400),
      );
    },
    runsTimeout(60_000),
  );
});

describe('the identity in a certificate of whoever', () => {
  test(
    'is the one URI that stands in it, byte for byte, or there is none',
    () => {
      let found = 0;
      fc.assert(
        fc.property(hostileNames, (names) => {
          const identity = identityOf(hostileLeaf(names, authority, publicKey));
          if (identity === undefined) return;
          found += 1;
          expect(names.uris).toEqual([identity]);
          expect(Object.values(parseIdentity(identity) ?? {}).join()).not.toMatch(/[^a-z0-9.,-]/);
        }),
        runs(600),
      );
      expect(found).toBeGreaterThan(20);
    },
    runsTimeout(60_000),
  );
});
