// Events: sent without holding up the caller, the same one counted instead of repeated, floods held back.
import { afterEach, describe, expect, test } from '@jest/globals';
import { KubeError } from '../../../../lib/kube/errors.ts';
import { type EventFacts, EventRecorder, subjectOf } from '../../../../lib/kube/events.ts';
import type { KubeEvent, Pod } from '../../../../lib/kube/object.ts';
import { resources } from '../../../../lib/kube/resources.ts';
import { settle } from '../../../support/clock.ts';
import { kubeDeps } from '../../../support/kubedeps.ts';

const { events, pods } = resources;
const subject = { apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSPolicy', namespace: 'shop', name: 'api', uid: 'u1' };
const issued: EventFacts = { type: 'Normal', reason: 'Issued', action: 'Issue', note: 'certificate for web issued' };

const stops: AbortController[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop.abort();
});

function recording() {
  const deps = kubeDeps();
  const recorder = new EventRecorder({ ...deps, controller: 'tabard.dev/operator', instance: 'operator-0' });
  const stop = new AbortController();
  stops.push(stop);
  const running = recorder.run(stop.signal);
  const sent = () => deps.client.all<KubeEvent>(events);
  return { ...deps, recorder, stop, running, sent };
}

describe('the event recorder', () => {
  test('writes who, what, why and about what', async () => {
    const { recorder, sent } = recording();
    recorder.record(subject, issued);
    await settle();
    expect(sent()).toHaveLength(1);
    expect(sent()[0]).toMatchObject({
      metadata: { namespace: 'shop' },
      type: 'Normal',
      reason: 'Issued',
      action: 'Issue',
      note: 'certificate for web issued',
      reportingController: 'tabard.dev/operator',
      reportingInstance: 'operator-0',
      eventTime: '2026-01-01T00:00:00.000000Z',
      regarding: subject,
    });
    expect(sent()[0]?.metadata.name).toMatch(/^api\.[0-9a-f]{16}$/);
  });

  test('an event about a cluster-scoped object is in the namespace "default"', async () => {
    const { recorder, sent } = recording();
    recorder.record({ apiVersion: 'tabard.dev/v1alpha1', kind: 'TLSIssuer', name: 'cluster' }, issued);
    await settle();
    expect(sent()[0]?.metadata.namespace).toBe('default');
  });

  test('the same event again counts up a series, written at most every half minute', async () => {
    const { recorder, sent, clock, client } = recording();
    recorder.record(subject, issued);
    await settle();
    let patches = 0;
    client.onCall = ({ verb }) => {
      if (verb === 'patch') patches += 1;
    };
    for (let round = 0; round < 5; round += 1) {
      recorder.record(subject, issued);
      await clock.advance(1_000);
    }
    expect(patches).toBe(0);
    await clock.advance(30_000);
    expect(patches).toBe(1);
    expect(sent()).toHaveLength(1);
    expect(sent()[0]?.series).toEqual({ count: 6, lastObservedTime: '2026-01-01T00:00:04.000000Z' });
  });

  test('repeats before the first one was sent are counted with it', async () => {
    const { recorder, sent, clock } = recording();
    for (let round = 0; round < 3; round += 1) recorder.record(subject, issued);
    await settle();
    expect(sent()).toHaveLength(1);
    recorder.record(subject, issued);
    await clock.advance(31_000);
    expect(sent()[0]?.series?.count).toBe(4);
  });

  test('after six quiet minutes it is a new event', async () => {
    const { recorder, sent, clock } = recording();
    recorder.record(subject, issued);
    await clock.advance(360_000);
    recorder.record(subject, issued);
    await settle();
    expect(sent()).toHaveLength(2);
  });

  test('a series whose event the API server has forgotten starts anew', async () => {
    const { recorder, sent, clock, client } = recording();
    recorder.record(subject, issued);
    await settle();
    await client.delete(events, { namespace: 'shop', name: sent()[0]?.metadata.name ?? '' });
    recorder.record(subject, issued);
    await clock.advance(30_000);
    expect(sent()).toHaveLength(1);
  });

  test('one object cannot flood: 25 events, then one in five minutes', async () => {
    const { recorder, sent, clock, registry } = recording();
    for (let index = 0; index < 40; index += 1) recorder.record(subject, { ...issued, note: `number ${index}` });
    await clock.advance(1_000);
    expect(sent()).toHaveLength(25);
    expect(await registry.text()).toContain('tabard_kube_events_dropped_total{reason="rate"} 15');
    await clock.advance(300_000);
    recorder.record(subject, { ...issued, note: 'later' });
    await settle();
    expect(sent()).toHaveLength(26);
  });

  test('many objects together cannot flood either', async () => {
    const { recorder, sent } = recording();
    for (let index = 0; index < 100; index += 1) recorder.record({ ...subject, name: `p${index}` }, issued);
    for (let turn = 0; turn < 50; turn += 1) await settle();
    expect(sent()).toHaveLength(50);
  });

  test('an API server that is away is tried again; one that refuses is not', async () => {
    const { recorder, sent, clock, client, lines, registry } = recording();
    client.onCall = () => {
      throw new KubeError('Unavailable', 'connection refused');
    };
    recorder.record(subject, issued);
    await settle();
    client.onCall = () => undefined;
    await clock.advance(2_000);
    expect(sent()).toHaveLength(1);
    client.onCall = () => {
      throw new KubeError('Forbidden', 'the namespace is being terminated', { status: 403 });
    };
    recorder.record(subject, { ...issued, note: 'other' });
    await clock.advance(60_000);
    expect(sent()).toHaveLength(1);
    expect(lines.filter((line) => line.msg === 'event not sent')).toHaveLength(1);
    expect(await registry.text()).toContain('tabard_kube_events_dropped_total{reason="refused"} 1');
  });

  test('an API server that stays away costs five tries and one line', async () => {
    const { recorder, clock, client, lines } = recording();
    let calls = 0;
    client.onCall = () => {
      calls += 1;
      throw new KubeError('Unavailable', 'connection refused');
    };
    recorder.record(subject, issued);
    await clock.advance(600_000);
    expect(calls).toBe(6);
    expect(lines.filter((line) => line.msg === 'event not sent')).toHaveLength(1);
  });

  test('a long note is cut between characters', async () => {
    const { recorder, sent } = recording();
    recorder.record(subject, { ...issued, note: 'ä'.repeat(1_000) });
    await settle();
    const note = sent()[0]?.note ?? '';
    expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1_024);
    expect(note).toMatch(/^ä+…$/);
  });

  test('stopped, it sends what was recorded before', async () => {
    const { recorder, stop, running, sent } = recording();
    recorder.record(subject, issued);
    recorder.record(subject, { ...issued, note: 'two' });
    stop.abort();
    await running;
    expect(sent()).toHaveLength(2);
  });

  test('stopped while the API server hangs, it ends after three seconds', async () => {
    const { recorder, stop, running, clock, client } = recording();
    client.create = (_resource, _object, options) =>
      new Promise((_, reject) => options?.signal?.addEventListener('abort', () => reject(new Error('given up'))));
    recorder.record(subject, issued);
    await settle();
    stop.abort();
    await clock.advance(3_000);
    await running;
    expect(clock.sleepers).toBe(0);
  });

  test('the subject of a stored object is its type, name and uid', () => {
    const pod = kubeDeps().client.seed<Pod>(pods, { metadata: { name: 'web-0', namespace: 'shop', uid: 'u9' } });
    expect(subjectOf(pod)).toEqual({ apiVersion: 'v1', kind: 'Pod', name: 'web-0', namespace: 'shop', uid: 'u9' });
  });
});
