import { describe, expect, test } from '@jest/globals';
import type { EventFacts, EventSubject } from '../../../lib/kube/events.ts';
import { Metrics } from '../../../lib/runtime/metrics.ts';
import type { JsonObject } from '../../../webhook/json.ts';
import { admissionMetrics, createNamespaceReporter, createReporter } from '../../../webhook/report.ts';
import { parseReview } from '../../../webhook/review.ts';
import { kubeDeps } from '../../support/kubedeps.ts';
import { admitted, goldenPods, type ReviewOptions, reviewOf } from '../../support/webhook.ts';

function report(name: string, options: ReviewOptions = {}, change: (pod: JsonObject) => JsonObject = (pod) => pod) {
  const pod = change(goldenPods().find((each) => each.name === name)?.pod ?? {});
  const deps = kubeDeps();
  const metrics = new Metrics();
  const events: { subject: EventSubject; facts: EventFacts }[] = [];
  const record = (subject: EventSubject, facts: EventFacts) => events.push({ subject, facts });
  const reporter = createReporter({ logger: deps.logger, metrics: admissionMetrics(metrics), events: { record } });
  reporter(parseReview(JSON.stringify(reviewOf(pod, options))), admitted(pod, options), 1.234);
  return { events, lines: deps.lines, text: metrics.text() };
}

describe('the report of an admission', () => {
  test('is one log line with all that a person would ask for', () => {
    expect(report('of-a-deployment').lines).toEqual([
      expect.objectContaining({
        level: 'info',
        msg: 'admission',
        uid: 'review-1',
        kind: 'Pod',
        namespace: 'shop',
        name: 'web-5d8f7c9b46-',
        owner: 'ReplicaSet/web-5d8f7c9b46',
        outcome: 'injected',
        service: 'web',
        dryRun: false,
        ms: 1.23,
      }),
    ]);
  });

  test.each<{ name: string; type: string; reason: string; note: string; subject: Partial<EventSubject> }>([
    {
      name: 'of-a-deployment',
      type: 'Normal',
      reason: 'Injected',
      note: 'the pod belongs to service web',
      subject: {
        kind: 'ReplicaSet',
        name: 'web-5d8f7c9b46',
        namespace: 'shop',
        uid: '11111111-1111-4111-8111-111111111111',
      },
    },
    {
      name: 'minimal',
      type: 'Normal',
      reason: 'Injected',
      note: 'the pod belongs to service web',
      subject: { apiVersion: 'v1', kind: 'Pod', name: 'web', namespace: 'shop' },
    },
    {
      name: 'of-nobody-with-a-generated-name',
      type: 'Normal',
      reason: 'Injected',
      note: 'the pod belongs to service debug',
      subject: { kind: 'Pod', name: 'debug' },
    },
    {
      name: 'host-network',
      type: 'Warning',
      reason: 'InjectionSkipped',
      note: 'host_network: the pod uses the host network, where the redirect rules would capture the whole node',
      subject: { kind: 'Pod', name: 'agent' },
    },
    {
      name: 'bad-inject',
      type: 'Warning',
      reason: 'InjectionRefused',
      note: 'bad_annotation: annotation tabard.dev/inject: "yes" is not accepted; it takes "true", "false" or "certificate"',
      subject: { kind: 'Pod', name: 'web' },
    },
  ])('is an event for $name', ({ name, type, reason, note, subject }) => {
    expect(report(name).events).toEqual([
      { subject: expect.objectContaining(subject), facts: { type, reason, action: 'Inject', note } },
    ]);
  });

  test.each([
    { name: 'a dry run', shape: 'minimal', options: { dryRun: true } },
    { name: 'a pod that opted out', shape: 'opted-out', options: {} },
    { name: 'a second pass', shape: 'reinvoked-with-another-container', options: {} },
  ])('writes no event for $name, but counts and logs it', async ({ shape, options }) => {
    const { events, lines, text } = report(shape, options);
    expect(events).toEqual([]);
    expect(lines).toHaveLength(1);
    expect(await text).toMatch(/^tabard_webhook_admissions_total\{.*\} 1$/m);
  });

  test('counts by kind, outcome and reason, each from a closed set', async () => {
    const metrics = await report('bad-inject', {}, (pod) => ({ ...pod, kind: 'Pod' })).text;
    expect(metrics).toContain(
      'tabard_webhook_admissions_total{kind="Pod",outcome="refused",reason="bad_annotation"} 1',
    );
    expect(metrics).toMatch(/^tabard_webhook_admission_seconds_bucket\{outcome="refused",le="0.0025"\} 1$/m);
  });
});

describe('the label on a namespace', () => {
  test.each([
    { name: 'kube-system', label: 'enabled', events: 1 },
    { name: 'kube-system', label: 'disabled', events: 0 },
    { name: 'shop', label: 'enabled', events: 0 },
  ])('$label on $name: $events events', ({ name, label, events }) => {
    const { logger } = kubeDeps();
    const recorded: EventSubject[] = [];
    const report = createNamespaceReporter(['kube-system'], {
      logger,
      events: { record: (subject) => recorded.push(subject) },
    });
    const namespace = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name,
        uid: 'u',
        resourceVersion: '1',
        creationTimestamp: '',
        labels: { 'tabard.dev/injection': label },
      },
    };
    report(undefined, namespace);
    report(namespace, namespace);
    report(namespace, undefined);
    expect(recorded).toEqual(events === 0 ? [] : [{ apiVersion: 'v1', kind: 'Namespace', name, uid: 'u' }]);
  });
});
