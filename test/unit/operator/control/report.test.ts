import { describe, expect, test } from '@jest/globals';
import type { StatusReport } from '../../../../lib/api/control.ts';
import { type ReportedService, ReportStore } from '../../../../operator/control/report.ts';
import { StoodClock } from '../../../support/meshbench.ts';

const api: ReportedService = { namespace: 'shop', service: 'api' };

function report(podUid: string, plaintext: StatusReport['plaintext'] = []): StatusReport {
  return {
    podName: `pod-${podUid}`,
    podUid,
    selfVersion: 'v1',
    bundleFingerprint: 'ab'.repeat(32),
    serial: 'AB12',
    notAfter: '2026-11-23T10:00:00Z',
    plaintext,
  };
}

const client = (address: string, count = 1, refused = true) => ({ address, port: 8080, count, refused });

describe('reports', () => {
  test('the last report of a pod counts, and is found by pod and by service', () => {
    const store = new ReportStore(new StoodClock());
    store.accept(api, report('a'));
    store.accept(api, { ...report('a'), serial: 'CD34' });
    store.accept(api, report('b'));
    expect(store.ofPod('a')?.report.serial).toBe('CD34');
    expect(store.ofService(api).map(({ podUid }) => podUid)).toEqual(['a', 'b']);
    expect(store.ofService({ ...api, namespace: 'other' })).toEqual([]);
  });

  test('a pod that is gone is forgotten; who sent it plaintext is not', () => {
    const store = new ReportStore(new StoodClock());
    store.accept(api, report('a', [client('10.0.0.1')]));
    store.forget('a');
    store.forget('never seen');
    expect([store.ofPod('a'), store.ofService(api)]).toEqual([undefined, []]);
    expect(store.plaintextClients(api)).toHaveLength(1);
  });

  test('plaintext of several pods of a service is one list, latest first, with counts added up', () => {
    const clock = new StoodClock();
    const store = new ReportStore(clock);
    store.accept(api, report('a', [client('10.0.0.1', 2), client('10.0.0.2')]));
    clock.ms += 1000;
    store.accept(api, report('b', [client('10.0.0.1', 3, false)]));
    const [first, second] = store.plaintextClients(api);
    expect(first).toEqual({
      address: '10.0.0.1',
      service: 'api',
      port: 8080,
      count: 5,
      refused: false,
      lastSeen: clock.now(),
    });
    expect(second?.address).toBe('10.0.0.2');
  });

  test('the list is bounded: who was seen longest ago goes', () => {
    const store = new ReportStore(new StoodClock());
    for (let at = 1; at <= 120; at += 1) store.accept(api, report('a', [client(`10.0.1.${at}`)]));
    const addresses = store.plaintextClients(api).map(({ address }) => address);
    expect([addresses.length, addresses[0], addresses.at(-1)]).toEqual([100, '10.0.1.120', '10.0.1.21']);
  });

  test('rules that matched are known by the time of the last report, of whichever pod, and stay when it goes', () => {
    const clock = new StoodClock();
    const store = new ReportStore(clock);
    const hit = { name: 'web', outcome: 'allowed', count: 1 } as const;
    store.accept(api, { ...report('a'), rules: [hit, { ...hit, name: 'no-dev', outcome: 'denied' }] });
    const later = new Date(clock.now().getTime() + 60_000);
    store.learn({ ...api, podUid: 'b', podName: 'b', receivedAt: later, report: { ...report('b'), rules: [hit] } });
    store.forget('a');
    expect(store.ruleHits(api)).toEqual([
      { name: 'no-dev', lastHit: clock.now() },
      { name: 'web', lastHit: later },
    ]);
    expect(store.ruleHits({ ...api, service: 'other' })).toEqual([]);
  });

  test('a client that stayed away for a week is forgotten', () => {
    const clock = new StoodClock();
    const store = new ReportStore(clock);
    store.accept(api, report('a', [client('10.0.0.1')]));
    clock.ms += 7 * 86_400_000;
    expect(store.plaintextClients(api)).toEqual([]);
  });

  test('listeners hear which service changed, until they leave', () => {
    const store = new ReportStore(new StoodClock());
    const heard: string[] = [];
    const leave = store.subscribe(({ service }) => heard.push(service));
    store.accept(api, report('a'));
    store.forget('a');
    leave();
    store.accept(api, report('a'));
    expect(heard).toEqual(['api', 'api']);
  });

  test('issuers whose keys are not known are told at once, also what another replica was told', () => {
    const clock = new StoodClock();
    const [here, there] = [new ReportStore(clock), new ReportStore(clock)];
    const wanted: string[] = [];
    const leave = here.onKeysWanted(({ namespace }, issuers) => wanted.push(`${namespace}: ${issuers.join()}`));
    here.accept(api, report('a'));
    here.accept(api, { ...report('a'), keysWanted: ['https://one', 'https://two'] });
    there.accept(api, { ...report('b'), keysWanted: ['https://three'] });
    for (const entry of there.own()) here.learn(entry);
    leave();
    here.accept(api, { ...report('c'), keysWanted: ['https://four'] });
    expect(wanted).toEqual(['shop: https://one,https://two', 'shop: https://three']);
  });

  test('what another replica was told is taken over when it is newer, with its own times, and not passed on', () => {
    const clock = new StoodClock();
    const [here, there] = [new ReportStore(clock), new ReportStore(clock)];
    const passedOn: string[] = [];
    here.onAccepted(({ podUid }) => passedOn.push(podUid));
    there.accept(api, report('a', [client('10.0.0.1', 2)]));
    const [entry] = there.own();
    clock.ms += 5_000;
    if (entry === undefined) throw new Error('nothing of its own');
    here.learn(entry);
    here.learn(entry);
    expect(here.plaintextClients(api)).toMatchObject([{ count: 2, lastSeen: entry.receivedAt }]);
    expect([here.own(), passedOn]).toEqual([[], []]);
    here.accept(api, { ...report('a'), serial: 'CD34' });
    here.learn(entry);
    expect(here.ofPod('a')?.report.serial).toBe('CD34');
    expect([here.own().length, passedOn]).toEqual([1, ['a']]);
  });
});
