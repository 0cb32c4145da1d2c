// What holds for every pod, not only for the golden ones: generated pods with any mix of probes, hooks, sidecars, ports, volumes and
// members that no model knows.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ports } from '../../../lib/api/contract.ts';
import type { RewrittenProbe } from '../../../lib/api/probes.ts';
import { isInjected } from '../../../webhook/conflicts.ts';
import { arrayAt, isObject, type Json, type JsonObject, objectAt, stringAt, valueAt } from '../../../webhook/json.ts';
import { knownProbes } from '../../../webhook/probes.ts';
import { admitted, anyJson, patched } from '../../support/webhook.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,10}[a-z0-9]$/).filter((text) => !text.startsWith('tabard-'));
const portName = fc.constantFrom('http', 'grpc', 'admin');
const port = fc.oneof(
  fc
    .integer({ min: 1, max: 65_535 })
    .filter((each) => ![ports.outbound, ports.inbound, ports.admin].some((own) => own === each)),
  portName,
);
/** Members of the future: any key that the API does not use today. */
const novelty = fc.dictionary(fc.constantFrom('x-new', 'future/field', '~odd', ''), anyJson(2), {
  maxKeys: 2,
  noNullPrototype: true,
});
const some = <T extends Record<string, fc.Arbitrary<unknown>>>(
  model: T,
  required: readonly Extract<keyof T, string>[] = [],
) => fc.record(model, { requiredKeys: [...required], noNullPrototype: true });

const httpGet = fc
  .tuple(
    novelty,
    some(
      {
        path: fc.constantFrom('/', '/ready', '/a?b=c'),
        port,
        scheme: fc.constantFrom('HTTP', 'HTTPS'),
        host: fc.constantFrom('', '10.0.0.9'),
        httpHeaders: fc.constant([{ name: 'A', value: 'b' }]),
      },
      ['port'],
    ),
  )
  .map(([extra, known]) => ({ ...extra, ...known }));
const action = fc.oneof(
  httpGet.map((value) => ({ httpGet: value })),
  some({ port, host: fc.constantFrom('', '10.0.0.9') }, ['port']).map((tcpSocket) => ({ tcpSocket })),
  some({ port: fc.integer({ min: 1, max: 9999 }), service: fc.constantFrom('', 'a.B') }, ['port']).map((grpc) => ({
    grpc,
  })),
  fc.constant({ exec: { command: ['true'] } }),
);
const probe = fc
  .tuple(novelty, action, some({ timeoutSeconds: fc.nat({ max: 9 }) }))
  .map(([extra, what, timing]) => ({ ...extra, ...what, ...timing }));
const container = fc
  .tuple(
    novelty,
    some(
      {
        name,
        ports: fc.uniqueArray(
          fc.record({ name: portName, containerPort: fc.integer({ min: 1, max: 9999 }) }, { noNullPrototype: true }),
          { maxLength: 2 },
        ),
        livenessProbe: probe,
        readinessProbe: probe,
        startupProbe: probe,
        lifecycle: some({ postStart: action, preStop: action, stopSignal: fc.constant('SIGUSR1') }),
        volumeMounts: fc.constant([{ name: 'data', mountPath: '/data' }]),
      },
      ['name'],
    ),
  )
  .map(([extra, known]): JsonObject => ({ ...extra, ...known }) as JsonObject);
const containers = fc.uniqueArray(container, { selector: (each) => each['name'], minLength: 1, maxLength: 3 });
const annotations = some({
  'tabard.dev/exclude-inbound-ports': fc.constantFrom('80', '8080,9090'),
  'tabard.dev/proxy-cpu': fc.constantFrom('50m', '1/2'),
  'tabard.dev/capture': fc.constantFrom('redirect', 'none'),
  'example.com/~a/b': fc.constant('x'),
});
const podArbitrary = fc
  .record({
    extra: novelty,
    specExtra: novelty,
    annotations,
    containers,
    initContainers: fc.option(containers, { nil: undefined }),
    volumes: fc.option(fc.constant([{ name: 'data', emptyDir: {} }]), { nil: undefined }),
    labels: fc.option(fc.constant({ app: 'web' }), { nil: undefined }),
    secrets: fc.constantFrom(undefined, null, [{ name: 's' }]),
  })
  .map(
    (each): JsonObject =>
      JSON.parse(
        JSON.stringify({
          ...each.extra,
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: {
            name: 'web',
            labels: each.labels,
            annotations: { ...each.annotations, 'tabard.dev/inject': 'true' },
          },
          spec: {
            ...each.specExtra,
            containers: each.containers,
            initContainers: each.initContainers,
            volumes: each.volumes,
            imagePullSecrets: each.secrets,
          },
        }),
      ) as JsonObject,
  );

const inject = (pod: JsonObject) => patched(pod, admitted(pod).answer.operations);
const own = (each: Json) => stringAt(each, 'name')?.startsWith('tabard-') === true;

/** The pod without what injection adds and without the handlers that it may rewrite. */
function essence(pod: JsonObject): Json {
  const bare = (value: Json, path: readonly string[]): Json => {
    if (Array.isArray(value)) return value.filter((item) => !own(item)).map((item) => bare(item, path));
    if (!isObject(value)) return value;
    const entries = Object.entries(value)
      .filter(([key]) => !['tabard.dev/service', 'tabard.dev/injected'].includes(key))
      .filter(([key]) => !['tcpSocket', 'grpc', 'httpGet'].includes(key))
      .map(([key, member]) => [key, bare(member, [...path, key])] as const)
      .filter(
        ([key, member]) =>
          !(['initContainers', 'volumes'].includes(key) && Array.isArray(member) && member.length === 0),
      )
      .filter(([key, member]) => !(key === 'labels' && isObject(member) && Object.keys(member).length === 0));
    return Object.fromEntries(entries);
  };
  return bare(pod, []);
}

describe('for every pod', () => {
  test('injecting twice is injecting once', () => {
    fc.assert(
      fc.property(podArbitrary, (pod) => {
        const once = inject(pod);
        expect(isInjected(once)).toBe(true);
        expect(admitted(once, { uid: 'review-2' }).answer.operations).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  test('all that is not injection survives, known or not, in its order', () => {
    fc.assert(
      fc.property(podArbitrary, (pod) => {
        expect(essence(inject(pod))).toEqual(essence(pod));
      }),
      { numRuns: 100 },
    );
  });

  test('members of httpGet that nobody knows survive the rewriting', () => {
    fc.assert(
      fc.property(novelty, (extra) => {
        const handler = { ...extra, path: '/', port: 8080 };
        const pod: JsonObject = JSON.parse(
          JSON.stringify({
            kind: 'Pod',
            metadata: { annotations: { 'tabard.dev/inject': 'true' } },
            spec: { containers: [{ name: 'web', livenessProbe: { httpGet: handler } }] },
          }),
        ) as JsonObject;
        const after = objectAt(inject(pod), 'spec', 'containers', 0, 'livenessProbe', 'httpGet');
        expect(after).toEqual({
          ...JSON.parse(JSON.stringify(extra)),
          path: '/probe/web/liveness',
          port: 16_020,
          scheme: 'HTTP',
        });
      }),
    );
  });

  test('every probe that asks the sidecar is one that the sidecar can carry out, and the other way round', () => {
    fc.assert(
      fc.property(podArbitrary, (pod) => {
        const after = inject(pod);
        const asked: string[] = [];
        const visit = (value: Json): void => {
          if (Array.isArray(value)) value.filter((item) => !own(item)).forEach(visit);
          else if (isObject(value)) {
            if (valueAt(value, 'httpGet', 'port') === ports.admin) asked.push(stringAt(value, 'httpGet', 'path') ?? '');
            for (const member of Object.values(value)) visit(member);
          }
        };
        visit(objectAt(after, 'spec') ?? {});
        const known: readonly RewrittenProbe[] = knownProbes(after);
        expect(asked.length).toBe(known.length);
        expect(new Set(asked)).toEqual(new Set(known.map((each) => `/probe/${each.id}`)));
        expect(known.every((each) => each.timeoutMs >= 1000 && each.action.port > 0)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test("another webhook that adds a container, before or after ours, changes neither our place nor its probes' fate", () => {
    fc.assert(
      fc.property(podArbitrary, container, fc.boolean(), (pod, added, first) => {
        const extra = { ...added, name: 'zz-added' };
        const once = inject(pod);
        const spec = objectAt(once, 'spec') ?? {};
        const list = first ? 'initContainers' : 'containers';
        const items = first ? [extra, ...arrayAt(spec, list)] : [...arrayAt(spec, list), extra];
        const twice = inject({ ...once, spec: { ...spec, [list]: items } });
        expect(admitted(twice).answer.operations).toEqual([]);
        const names = arrayAt(twice, 'spec', 'initContainers').map((each) => stringAt(each, 'name') ?? '');
        const leading = names.findIndex((each) => !each.startsWith('tabard-'));
        expect(names.slice(leading < 0 ? names.length : leading).some((each) => each.startsWith('tabard-'))).toBe(
          false,
        );
        const before = knownProbes(once).map((each) => each.id);
        expect(knownProbes(twice).map((each) => each.id)).toEqual(expect.arrayContaining(before));
      }),
      { numRuns: 60 },
    );
  });
});
