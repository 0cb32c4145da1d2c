import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { certificateSecretName } from '../../../lib/api/contract.ts';
import type { JsonObject } from '../../../webhook/json.ts';
import { serviceName, serviceOf } from '../../../webhook/service.ts';

const owned = (kind: string, name: string, labels: JsonObject = {}, controller = true): JsonObject => ({
  metadata: { generateName: 'pod-', labels, ownerReferences: [{ apiVersion: 'v1', kind, name, uid: 'u', controller }] },
});

describe('serviceOf', () => {
  test.each<{ name: string; pod: JsonObject; service: string }>([
    {
      name: 'the annotation goes before the owner',
      pod: { metadata: { annotations: { 'tabard.dev/service': 'api' }, name: 'web' } },
      service: 'api',
    },
    {
      name: 'a Deployment, by its ReplicaSet and hash',
      pod: owned('ReplicaSet', 'web-app-5d8f', { 'pod-template-hash': '5d8f' }),
      service: 'web-app',
    },
    {
      name: 'a ReplicaSet whose name does not end in the hash',
      pod: owned('ReplicaSet', 'web-app', { 'pod-template-hash': '5d8f' }),
      service: 'web-app',
    },
    { name: 'a ReplicaSet without a hash', pod: owned('ReplicaSet', 'web-5d8f'), service: 'web-5d8f' },
    {
      name: 'a hash is cut only from a ReplicaSet',
      pod: owned('StatefulSet', 'web-5d8f', { 'pod-template-hash': '5d8f' }),
      service: 'web-5d8f',
    },
    { name: 'a StatefulSet', pod: owned('StatefulSet', 'db'), service: 'db' },
    { name: 'a Job', pod: owned('Job', 'import-29389620'), service: 'import-29389620' },
    { name: 'an owner that is no controller is none', pod: owned('StatefulSet', 'db', {}, false), service: 'pod' },
    { name: 'an owner of another kind', pod: owned('Workflow', 'run'), service: 'pod' },
    {
      name: 'a name with dots, told from one with dashes',
      pod: { metadata: { name: 'a.b' } },
      service: 'a-b-2e7336dc',
    },
  ])('$name', ({ pod, service }) => {
    expect(serviceOf(pod)).toBe(service);
  });

  test('every name of an object becomes a service that can name a Secret, the same each time', () => {
    const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
    const objectName = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.').slice(0, 253));
    fc.assert(
      fc.property(objectName, (name) => {
        const service = serviceName(name);
        expect(service).toMatch(/^[a-z0-9]([a-z0-9-]{0,54}[a-z0-9])?$/);
        expect(certificateSecretName(service).length).toBeLessThanOrEqual(63);
        expect(serviceName(service)).toBe(service);
      }),
    );
  });

  test('long names that begin alike stay apart', () => {
    const [a, b] = [`${'x'.repeat(60)}-a`, `${'x'.repeat(60)}-b`];
    expect(serviceName(a)).not.toBe(serviceName(b));
  });

  test('a name with nothing usable still gets one', () => {
    expect(serviceName('...')).toMatch(/^pod-[0-9a-f]{8}$/);
  });
});
