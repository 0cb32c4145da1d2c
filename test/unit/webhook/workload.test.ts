import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type JsonObject, objectAt, stringAt, stringsAt } from '../../../webhook/json.ts';
import { admitted, context, patched } from '../../support/webhook.ts';

type Annotations = Readonly<Record<string, string>>;

const short = (annotations: Annotations): Annotations =>
  Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`tabard.dev/${key}`, value]));

interface Shape {
  readonly kind?: string;
  readonly object?: Annotations;
  readonly template?: Annotations;
  readonly spec?: JsonObject;
  readonly metadata?: JsonObject;
  readonly pod?: JsonObject;
}

function workload({ kind = 'Deployment', object, template, spec = {}, metadata = {}, pod = {} }: Shape): JsonObject {
  const annotated = (annotations: Annotations | undefined) =>
    annotations === undefined ? {} : { annotations: short(annotations) };
  const podTemplate = {
    metadata: { labels: { app: 'web' }, ...annotated(template) },
    spec: { containers: [{ name: 'web', image: 'web' }], ...pod },
  };
  const inner = kind === 'CronJob' ? { jobTemplate: { spec: { template: podTemplate } } } : { template: podTemplate };
  return {
    apiVersion: kind.endsWith('Job') ? 'batch/v1' : 'apps/v1',
    kind,
    metadata: { name: 'web', namespace: 'shop', ...annotated(object), ...metadata },
    spec: { ...spec, ...inner },
  };
}

const templateOf = (object: JsonObject) =>
  objectAt(object, 'spec', ...(object['kind'] === 'CronJob' ? ['jobTemplate', 'spec'] : []), 'template') ?? {};
const annotationsOf = (object: JsonObject) => {
  const all = stringsAt(object, 'metadata', 'annotations');
  return Object.fromEntries(Object.entries(all).map(([key, value]) => [key.replace('tabard.dev/', ''), value]));
};

/** What is stored after the request, as [object's annotations, template's annotations]. */
function after(object: JsonObject, before?: JsonObject) {
  const { answer } = admitted(object, before === undefined ? {} : { before });
  const result = patched(object, answer.operations);
  return { result, answer, object: annotationsOf(result), template: annotationsOf(templateOf(result)) };
}

describe('annotations of a workload object', () => {
  test.each<{ name: string; shape: Shape; object?: Annotations; template: Annotations }>([
    {
      name: 'are copied into the pod template',
      shape: { object: { inject: 'true', 'proxy-cpu': '50m' } },
      object: { inject: 'true', 'proxy-cpu': '50m', copied: 'inject,proxy-cpu' },
      template: { inject: 'true', 'proxy-cpu': '50m' },
    },
    {
      name: 'are copied without "inject", for a namespace that asks',
      shape: { object: { 'proxy-log-level': 'debug' } },
      template: { 'proxy-log-level': 'debug' },
    },
    {
      name: 'give way to what the template says',
      shape: { object: { inject: 'true', 'proxy-cpu': '50m' }, template: { 'proxy-cpu': '70m' } },
      object: { inject: 'true', 'proxy-cpu': '50m', copied: 'inject' },
      template: { inject: 'true', 'proxy-cpu': '70m' },
    },
    {
      name: 'overrule the template with "false", and remember what it said',
      shape: { object: { inject: 'false' }, template: { inject: 'true' } },
      object: { inject: 'false', copied: 'inject=true' },
      template: { inject: 'false' },
    },
    {
      name: 'do not overrule the "false" of the template',
      shape: { object: { inject: 'true' }, template: { inject: 'false' } },
      object: { inject: 'true' },
      template: { inject: 'false' },
    },
    {
      name: 'of other programs are left alone',
      shape: { object: { other: 'x' } },
      object: { other: 'x' },
      template: {},
    },
    {
      name: 'are copied into the template of a CronJob, with its name as the service',
      shape: { kind: 'CronJob', object: { inject: 'true' } },
      object: { inject: 'true', copied: 'inject,service' },
      template: { inject: 'true', service: 'web' },
    },
    {
      name: 'name the service of a CronJob themselves',
      shape: { kind: 'CronJob', object: { inject: 'true', service: 'reports' } },
      template: { inject: 'true', service: 'reports' },
    },
    {
      name: 'do not name a service for a CronJob that opted out',
      shape: { kind: 'CronJob', object: { inject: 'false' } },
      template: { inject: 'false' },
    },
    {
      name: 'of a Job get the name of the CronJob that made it',
      shape: {
        kind: 'Job',
        template: { inject: 'true' },
        metadata: {
          name: 'web-29389620',
          ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name: 'web', uid: 'u', controller: true }],
        },
      },
      template: { inject: 'true', service: 'web' },
    },
    ...['StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job'].map((kind) => ({
      name: `of a ${kind} are copied`,
      shape: { kind, object: { inject: 'true' } },
      template: { inject: 'true' },
    })),
  ])('$name', ({ shape, object, template }) => {
    const stored = after(workload(shape));
    expect(stored.answer.allowed).toBe(true);
    expect(stored.template).toEqual(template);
    if (object !== undefined) expect(stored.object).toEqual(object);
  });

  test.each<{
    name: string;
    first: Shape;
    next: (stored: Annotations) => Shape;
    object: Annotations;
    template: Annotations;
  }>([
    {
      name: 'taken away from the object, they leave the template',
      first: { object: { inject: 'true', 'proxy-cpu': '50m' } },
      next: (template) => ({ object: { copied: 'inject,proxy-cpu' }, template }),
      object: {},
      template: {},
    },
    {
      name: 'taken away with the whole metadata, as kubectl replace does, they leave the template too',
      first: { object: { inject: 'true' } },
      next: (template) => ({ template }),
      object: {},
      template: {},
    },
    {
      name: 'come back when a full update brings the template without them',
      first: { object: { inject: 'true' } },
      next: () => ({ object: { inject: 'true', copied: 'inject' } }),
      object: { inject: 'true', copied: 'inject' },
      template: { inject: 'true' },
    },
    {
      name: 'changed on the object, they change in the template',
      first: { object: { inject: 'true', 'proxy-cpu': '50m' } },
      next: (template) => ({ object: { inject: 'true', 'proxy-cpu': '80m', copied: 'inject,proxy-cpu' }, template }),
      object: { inject: 'true', 'proxy-cpu': '80m', copied: 'inject,proxy-cpu' },
      template: { inject: 'true', 'proxy-cpu': '80m' },
    },
    {
      name: "changed in the template, they are the template's from then on",
      first: { object: { inject: 'true', 'proxy-cpu': '50m' } },
      next: () => ({
        object: { inject: 'true', 'proxy-cpu': '50m', copied: 'inject,proxy-cpu' },
        template: { inject: 'true', 'proxy-cpu': '99m' },
      }),
      object: { inject: 'true', 'proxy-cpu': '50m', copied: 'inject' },
      template: { inject: 'true', 'proxy-cpu': '99m' },
    },
    {
      name: 'turned to "false", they opt the pods out',
      first: { object: { inject: 'true' } },
      next: (template) => ({ object: { inject: 'false', copied: 'inject' }, template }),
      object: { inject: 'false', copied: 'inject' },
      template: { inject: 'false' },
    },
    {
      name: 'what "false" overruled comes back',
      first: { object: { inject: 'false' }, template: { inject: 'true' } },
      next: (template) => ({ object: { copied: 'inject=true' }, template }),
      object: {},
      template: { inject: 'true' },
    },
    {
      name: 'what the template said itself stays when the object says nothing any more',
      first: { object: { inject: 'true' }, template: { inject: 'true' } },
      next: () => ({ object: {}, template: { inject: 'true' } }),
      object: {},
      template: { inject: 'true' },
    },
    {
      name: 'rolled back to a revision without them (kubectl rollout undo), nothing is left',
      first: { object: { inject: 'true' } },
      next: () => ({ object: {}, template: {} }),
      object: {},
      template: {},
    },
  ])('$name', ({ first, next, object, template }) => {
    const before = after(workload(first)).result;
    const stored = after(workload(next(annotationsOf(templateOf(before)))), before);
    expect({ object: stored.object, template: stored.template }).toEqual({ object, template });
  });

  test('are not copied into a Job that exists: its template cannot change', () => {
    const before = workload({ kind: 'Job' });
    const { answer } = admitted(workload({ kind: 'Job', object: { inject: 'true' } }), { before });
    expect(answer.operations).toEqual([]);
    expect(answer.warnings).toEqual([
      "a Job's pod template cannot change: delete and create the Job for its annotations to take effect",
    ]);
  });

  test.each<{ name: string; shape: Shape; before?: Shape; labels?: Annotations; warning: RegExp | undefined }>([
    { name: 'nothing when all is well', shape: { object: { inject: 'true' } }, warning: undefined },
    {
      name: 'that the template wins',
      shape: { object: { inject: 'true' }, template: { inject: 'false' } },
      warning: /pod template says "false", which goes before "true"/,
    },
    {
      name: 'that its pods will not be injected',
      shape: { object: { inject: 'true' }, pod: { hostNetwork: true } },
      warning: /^its pods will not be injected: the pod uses the host network/,
    },
    {
      name: 'that Pod Security will refuse its pods',
      shape: { object: { inject: 'true' } },
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      warning: /enforces Pod Security "restricted".*NET_ADMIN/,
    },
    {
      name: 'of Pod Security for a namespace that asks',
      shape: { object: { 'proxy-cpu': '50m' } },
      labels: { 'pod-security.kubernetes.io/enforce': 'baseline', 'tabard.dev/injection': 'enabled' },
      warning: /enforces Pod Security "baseline"/,
    },
    {
      name: 'nothing of Pod Security without a redirect container',
      shape: { object: { inject: 'true', capture: 'none' } },
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      warning: undefined,
    },
    {
      name: 'nothing of Pod Security when nothing asks',
      shape: { object: { 'proxy-cpu': '50m' } },
      labels: { 'pod-security.kubernetes.io/enforce': 'restricted' },
      warning: undefined,
    },
    {
      name: 'that running pods stay (OnDelete)',
      shape: { kind: 'StatefulSet', object: { inject: 'true' }, spec: { updateStrategy: { type: 'OnDelete' } } },
      before: { kind: 'StatefulSet' },
      warning: /running pods stay as they are/,
    },
    {
      name: 'that running pods stay (ReplicaSet)',
      shape: { kind: 'ReplicaSet', object: { inject: 'true' } },
      before: { kind: 'ReplicaSet' },
      warning: /running pods stay as they are/,
    },
    {
      name: 'that the Deployment is paused',
      shape: { object: { inject: 'true' }, spec: { paused: true } },
      before: {},
      warning: /paused/,
    },
    {
      name: 'of a misspelt key',
      shape: { object: { inject: 'true', 'proxy-cpus': '1' } },
      warning: /tabard.dev\/proxy-cpus is not known/,
    },
  ])('kubectl is told $name', ({ shape, before, labels = {}, warning }) => {
    const within = { ...context, namespaceLabels: () => labels };
    const { answer } = admitted(workload(shape), before === undefined ? {} : { before: workload(before) }, within);
    expect(answer.allowed).toBe(true);
    expect(answer.warnings).toEqual(warning === undefined ? [] : [expect.stringMatching(warning)]);
  });

  test('are not copied in a protected namespace; kubectl is told', () => {
    const object = workload({ object: { inject: 'true' }, metadata: { namespace: 'kube-system' } });
    const { answer, record } = admitted(object);
    expect({ operations: answer.operations, warnings: answer.warnings }).toEqual({
      operations: [],
      warnings: ['not injected: namespace kube-system is never injected'],
    });
    expect(record).toMatchObject({ outcome: 'skipped', reason: 'protected_namespace' });
  });

  test.each<{ name: string; shape: Shape; message: RegExp }>([
    { name: 'a bad value on the object', shape: { object: { inject: 'yes' } }, message: /tabard.dev\/inject: "yes"/ },
    {
      name: 'a bad value in the template',
      shape: { object: { inject: 'true' }, template: { 'proxy-cpu': 'x' } },
      message: /tabard.dev\/proxy-cpu: "x"/,
    },
    {
      name: 'a bad value under a good one of the template',
      shape: { object: { 'proxy-cpu': 'x' }, kind: 'CronJob' },
      message: /tabard.dev\/proxy-cpu: "x"/,
    },
    {
      name: 'pods that could only be refused',
      shape: { object: { inject: 'true' }, pod: { securityContext: { runAsUser: 1616 } } },
      message: /runs as user 1616/,
    },
  ])('refuses $name', ({ shape, message }) => {
    const { answer, record } = admitted(workload(shape));
    expect(answer).toMatchObject({ allowed: false, operations: [], message: expect.stringMatching(message) });
    expect(record.outcome).toBe('refused');
  });

  test('a second pass changes nothing, whatever was written where', () => {
    const value = fc.option(fc.constantFrom('true', 'false'), { nil: undefined });
    const cpu = fc.option(fc.constantFrom('50m', '60m'), { nil: undefined });
    const layer = fc
      .record({ inject: value, 'proxy-cpu': cpu })
      .map((each): Annotations => JSON.parse(JSON.stringify(each)) as Annotations);
    const kind = fc.constantFrom('Deployment', 'StatefulSet', 'CronJob', 'ReplicaSet');
    fc.assert(
      fc.property(kind, layer, layer, layer, (kind, object, template, next) => {
        const first = after(workload({ kind, object, template }));
        expect(after(first.result).answer.operations).toEqual([]);
        // The object's annotations change; the template stays as it was stored.
        const record = stringAt(first.result, 'metadata', 'annotations', 'tabard.dev/copied');
        const update = workload({
          kind,
          object: { ...next, ...(record === undefined ? {} : { copied: record }) },
          template: first.template,
        });
        const second = after(update, first.result);
        expect(after(second.result, second.result).answer.operations).toEqual([]);
        // In the end the order of events does not matter: it is as if the object had been created so.
        const direct = after(workload({ kind, object: next, template }));
        expect(second.template).toEqual(direct.template);
      }),
    );
  });
});
