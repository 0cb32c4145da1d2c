import { describe, expect, test } from '@jest/globals';
import { nextStep, requestKey, rotationDue } from '../../../../operator/authority/rotation.ts';
import type {
  CaFacts,
  Decision,
  Leaf,
  Peer,
  RingFacts,
  RotationView,
} from '../../../../operator/authority/rotationview.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const start = Date.parse('2026-01-01T00:00:00Z');
const at = (ms: number): Date => new Date(start + ms);

/** A CA that is its own root and lives for 90 days from `bornMs`. */
function ca(name: string, bornMs = 0): CaFacts {
  const fingerprint = name.repeat(64).slice(0, 64);
  return {
    fingerprint,
    keyId: `KEY-${name}`,
    issuedAt: at(bornMs),
    notBefore: at(bornMs - 2 * minute),
    notAfter: at(bornMs + 90 * day),
    anchors: [fingerprint],
  };
}

const old = ca('a');
const fresh = ca('b', 45 * day);
const third = ca('c', 46 * day);
const now = at(46 * day);

/** A pod that trusts these CAs and shows a leaf of one of them. */
function sidecar(
  name: string,
  trusts: readonly CaFacts[] | undefined,
  signedBy?: CaFacts,
  change: Partial<Peer> = {},
): Peer {
  return {
    name,
    kind: 'sidecar',
    trusts: trusts && new Map(trusts.map(({ fingerprint }) => [fingerprint, now])),
    mine: true,
    signedBy: signedBy && { keyId: signedBy.keyId, since: now },
    ...change,
  };
}

const files = (name: string, trusts: readonly CaFacts[], signedBy: CaFacts, since: Date): Peer => ({
  ...sidecar(name, [], signedBy),
  kind: 'files',
  trusts: new Map(trusts.map(({ fingerprint }) => [fingerprint, since])),
  signedBy: { keyId: signedBy.keyId, since },
});

const leaf = (name: string, of: CaFacts, notAfter = at(47 * day)): Leaf => ({
  name,
  authorityKeyId: of.keyId,
  notAfter,
});

const idle: RingFacts = {
  phase: 'Idle',
  phaseSince: undefined,
  active: old,
  next: undefined,
  previous: undefined,
  retired: undefined,
  handled: [],
  declined: undefined,
  holdUntil: undefined,
};
const prepared: RingFacts = { ...idle, phase: 'Prepared', phaseSince: at(45 * day), next: fresh };
const active: RingFacts = { ...idle, phase: 'Active', phaseSince: at(45 * day), active: fresh, previous: old };
const { anchors, keyId, notAfter } = old;
const retiring: RingFacts = {
  ...idle,
  phase: 'Retiring',
  phaseSince: at(45 * day),
  active: fresh,
  retired: { anchors, keyId, notAfter },
};

function look(ring: RingFacts, change: Partial<RotationView> = {}): Decision {
  return nextStep({
    now,
    ring,
    paused: false,
    requests: {},
    source: 'own',
    offered: undefined,
    peers: [],
    leaves: [],
    waits: { filesMs: 3 * minute, settleMs: 10_000 },
    ...change,
  });
}

/** The step, or who is waited for, or what else. */
function outcome(decision: Decision): unknown {
  if (decision.kind === 'step') return decision.step;
  if (decision.kind === 'rest') return 'rest';
  return decision.why === 'Lagging' ? decision.waitingFor : decision.why;
}

type Case = readonly [sentence: string, ring: RingFacts, change: Partial<RotationView>, expected: unknown];

describe('an idle CA', () => {
  test.each<Case>([
    ['rests before half of its life', idle, { now: at(44 * day) }, 'rest'],
    [
      'is followed at half of its life',
      idle,
      { now: at(45 * day) },
      { kind: 'prepare', from: 'own', reason: 'half of its life has passed' },
    ],
    [
      'is followed when a person asks, with the reason',
      idle,
      { now: at(day), requests: { rotate: 'audit 7' } },
      { kind: 'prepare', from: 'own', reason: 'audit 7', handles: 'rotate:audit 7' },
    ],
    [
      'is not followed a second time for the same reason',
      { ...idle, handled: ['rotate:audit 7'] },
      { now: at(day), requests: { rotate: 'audit 7' } },
      'rest',
    ],
    [
      'is followed again for another reason',
      { ...idle, handled: ['rotate:audit 7'] },
      { now: at(day), requests: { rotate: 'audit 8' } },
      { kind: 'prepare', from: 'own', reason: 'audit 8', handles: 'rotate:audit 8' },
    ],
    ['waits while it is paused', idle, { paused: true }, 'Paused'],
    ['rests when nothing is due, paused or not', idle, { now: at(day), paused: true }, 'rest'],
    ['rests for a while after an undo', { ...idle, holdUntil: at(50 * day) }, {}, 'rest'],
    [
      'is followed at once when it has expired',
      idle,
      { now: at(91 * day) },
      { kind: 'replace', from: 'own', reason: `the CA expired at ${old.notAfter.toISOString()}` },
    ],
    ['that is kept elsewhere is not followed by time', idle, { source: 'given', offered: old }, 'rest'],
    [
      'that is kept elsewhere is followed when another is offered',
      idle,
      { source: 'given', offered: fresh },
      { kind: 'prepare', from: 'offered', reason: 'another CA was put into its Secret' },
    ],
    [
      'is not followed by one that was taken back',
      { ...idle, declined: fresh.fingerprint },
      { source: 'given', offered: fresh },
      'rest',
    ],
    [
      'is followed by one that was taken back when a person asks for it',
      { ...idle, declined: fresh.fingerprint },
      { source: 'given', offered: fresh, requests: { rotate: 'now it is good' } },
      { kind: 'prepare', from: 'offered', reason: 'now it is good', handles: 'rotate:now it is good' },
    ],
    [
      'is not followed by one that has expired',
      idle,
      { now: at(80 * day), source: 'given', offered: ca('d', -20 * day) },
      'rest',
    ],
    [
      'that has expired and is kept elsewhere waits for another',
      idle,
      { now: at(91 * day), source: 'given', offered: undefined },
      'rest',
    ],
    [
      'that has expired and is kept elsewhere is followed at once by what is offered',
      idle,
      { now: at(91 * day), source: 'given', offered: fresh },
      { kind: 'replace', from: 'offered', reason: `the CA expired at ${old.notAfter.toISOString()}` },
    ],
    ['has nothing to undo', idle, { now: at(day), requests: { undo: 'oops' } }, 'rest'],
  ])('%s', (_sentence, ring, change, expected) => {
    expect(outcome(look(ring, change))).toEqual(expected);
  });

  test('says when it will be followed', () => {
    expect(rotationDue(idle)).toEqual(at(45 * day));
    expect(look(idle, { now: at(day) })).toMatchObject({ nextCheck: at(45 * day) });
  });
});

describe('a prepared CA', () => {
  const follows = sidecar('shop/web-1', [old, fresh], old);
  test.each<Case>([
    ['signs once every peer trusts it', prepared, { peers: [follows] }, { kind: 'activate' }],
    ['signs at once where there are no peers', prepared, {}, { kind: 'activate' }],
    [
      'waits for a sidecar that does not have it, by name',
      prepared,
      { peers: [follows, sidecar('shop/api-1', [old], old)] },
      ['shop/api-1: does not have the new CA in its bundle'],
    ],
    [
      'waits for a sidecar that does not report, by name',
      prepared,
      { peers: [sidecar('shop/api-1', undefined)] },
      ['shop/api-1: its sidecar does not report'],
    ],
    [
      'waits for sidecars of other issuers as well: they, too, meet its leaves',
      prepared,
      { peers: [sidecar('shop/api-1', [old], old, { mine: false })] },
      ['shop/api-1: does not have the new CA in its bundle'],
    ],
    [
      'waits until the kubelet has brought files',
      prepared,
      { peers: [files('shop/nginx-1', [old, fresh], old, at(46 * day - minute))] },
      [
        `shop/nginx-1: reads files and does not report; its Secret is taken as arrived at ${at(46 * day + 2 * minute).toISOString()}`,
      ],
    ],
    [
      'trusts files after that time',
      prepared,
      { peers: [files('shop/nginx-1', [old, fresh], old, at(46 * day - 4 * minute))] },
      { kind: 'activate' },
    ],
    ['lasts a moment for the other replicas', { ...prepared, phaseSince: now }, { peers: [follows] }, 'Settling'],
    [
      'is not held up by a clock that was set back an hour',
      { ...prepared, phaseSince: at(46 * day + 60 * minute) },
      { peers: [follows] },
      { kind: 'activate' },
    ],
    [
      'waits for its own time when the clock was set back since it was made',
      { ...prepared, next: ca('b', 46 * day + hour) },
      { peers: [sidecar('shop/web-1', [old, ca('b')], old)] },
      [],
    ],
    ['waits while it is paused, though all follow', prepared, { peers: [follows], paused: true }, 'Paused'],
    [
      'can be taken back, also while it is paused',
      prepared,
      { paused: true, requests: { undo: 'oops' } },
      { kind: 'undo', reason: 'oops', handles: 'undo:oops', declines: fresh.fingerprint },
    ],
    [
      'is not taken back twice for one reason',
      { ...prepared, handled: ['undo:oops'] },
      { requests: { undo: 'oops' } },
      { kind: 'activate' },
    ],
    [
      'signs whoever lags, once the CA before has expired: nothing of it is left to protect',
      prepared,
      { now: at(91 * day), peers: [sidecar('shop/api-1', [old], old)] },
      { kind: 'activate', reason: 'the CA that signed has expired: no certificate of it is left to wait for' },
    ],
    [
      'waits for a laggard to the last minute before that',
      prepared,
      { now: at(90 * day - 1), peers: [sidecar('shop/api-1', [old], old)] },
      ['shop/api-1: does not have the new CA in its bundle'],
    ],
    [
      'is given up when it has expired itself',
      { ...prepared, active: ca('a', 100 * day) },
      { now: at(140 * day) },
      { kind: 'undo', reason: 'the CA that was to sign has expired' },
    ],
    [
      'gives way to yet another that is offered',
      prepared,
      { source: 'given', offered: third },
      { kind: 'prepare', from: 'offered', reason: 'yet another CA was put into its Secret' },
    ],
    [
      'is given up when the former one is offered again',
      prepared,
      { source: 'given', offered: old },
      { kind: 'undo', reason: 'the Secret holds the former CA again' },
    ],
    ['takes no second request for a rotation', prepared, { requests: { rotate: 'again' } }, { kind: 'activate' }],
  ])('%s', (_sentence, ring, change, expected) => {
    expect(outcome(look(ring, change))).toEqual(expected);
  });

  test('looks again soon when it waits', () => {
    const decision = look(prepared, { peers: [sidecar('shop/api-1', [old], old)] });
    expect(decision).toMatchObject({ nextCheck: at(46 * day + 15_000) });
  });
});

describe('a CA that has begun to sign', () => {
  const moved = sidecar('shop/web-1', [old, fresh], fresh);
  test.each<Case>([
    [
      'lets the former one go when all use it',
      active,
      { peers: [moved], leaves: [leaf('shop/web', fresh)] },
      { kind: 'retire' },
    ],
    [
      'waits for a Secret with a certificate of the former one',
      active,
      { leaves: [leaf('shop/web', old)] },
      ['shop/web: its Secret holds a certificate of the former CA'],
    ],
    [
      'does not wait for one that has expired',
      active,
      { leaves: [leaf('shop/web', old, at(45 * day))] },
      { kind: 'retire' },
    ],
    [
      'waits for a sidecar that shows a certificate of the former one',
      active,
      { peers: [moved, sidecar('shop/api-1', [old, fresh], old)] },
      ['shop/api-1: uses a certificate of the former CA'],
    ],
    [
      'waits for a sidecar whose certificate is not known',
      active,
      { peers: [sidecar('shop/api-1', [old, fresh])] },
      ['shop/api-1: it is not known which certificate it uses'],
    ],
    [
      'does not ask whose certificate a pod of another issuer shows',
      active,
      { peers: [sidecar('shop/api-1', [fresh], third, { mine: false })] },
      { kind: 'retire' },
    ],
    [
      'waits for a pod that came meanwhile and does not trust it',
      active,
      { peers: [sidecar('shop/api-1', [old], old)] },
      ['shop/api-1: does not have the new CA in its bundle'],
    ],
    [
      'waits until the kubelet has brought files',
      active,
      { peers: [files('shop/nginx-1', [old, fresh], fresh, at(46 * day - minute))] },
      [expect.stringContaining('shop/nginx-1: reads files')],
    ],
    ['waits while it is paused', active, { peers: [moved], paused: true }, 'Paused'],
    [
      'can be taken back: the former one signs again',
      active,
      { peers: [moved], requests: { undo: 'breaks Java' } },
      { kind: 'undo', reason: 'breaks Java', handles: 'undo:breaks Java', declines: fresh.fingerprint },
    ],
    [
      'cannot be taken back when the former one has expired',
      active,
      { now: at(91 * day), requests: { undo: 'late' } },
      { kind: 'retire' },
    ],
    [
      'lets go of a former one that has expired, whoever lags',
      active,
      { now: at(91 * day), peers: [sidecar('shop/api-1', [old], old)] },
      { kind: 'retire' },
    ],
    [
      'without a former one is done when all use it',
      { ...active, previous: undefined },
      { peers: [moved] },
      { kind: 'finish' },
    ],
    [
      'without a former one waits for all just the same',
      { ...active, previous: undefined },
      { peers: [sidecar('shop/api-1', [old], old)] },
      ['shop/api-1: does not have the new CA in its bundle'],
    ],
    [
      'and has expired since is followed at once',
      active,
      { now: at(136 * day) },
      { kind: 'replace', from: 'own', reason: `the CA expired at ${fresh.notAfter.toISOString()}` },
    ],
  ])('%s', (_sentence, ring, change, expected) => {
    expect(outcome(look(ring, change))).toEqual(expected);
  });
});

describe('a CA that has left the bundle', () => {
  test.each<Case>([
    [
      'is forgotten when nobody trusts it any more',
      retiring,
      { peers: [sidecar('shop/web-1', [fresh], fresh)] },
      { kind: 'finish' },
    ],
    [
      'is waited for while one still trusts it',
      retiring,
      { peers: [sidecar('shop/web-1', [old, fresh], fresh)] },
      ['shop/web-1: still trusts the former CA'],
    ],
    [
      'is waited for while one does not report',
      retiring,
      { peers: [sidecar('shop/web-1', undefined)] },
      ['shop/web-1: its sidecar does not report'],
    ],
    [
      'is forgotten when it would have expired',
      retiring,
      { now: at(91 * day), peers: [sidecar('shop/web-1', undefined)] },
      { kind: 'finish' },
    ],
    ['waits while it is paused', retiring, { paused: true }, 'Paused'],
    ['does not come back', retiring, { requests: { undo: 'oops' } }, { kind: 'finish' }],
  ])('%s', (_sentence, ring, change, expected) => {
    expect(outcome(look(ring, change))).toEqual(expected);
  });
});

describe('the order to distrust a CA at once', () => {
  const order = (each: CaFacts): Partial<RotationView> => ({ requests: { distrust: each.fingerprint } });
  const lagging = [sidecar('shop/api-1', [old], old)];
  const replaced = (from: string, each: CaFacts) => ({
    kind: 'replace',
    from,
    reason: `CA ${each.fingerprint.slice(0, 16)} is distrusted`,
    handles: requestKey.distrust(each.fingerprint),
  });
  test.each<Case>([
    ['replaces the one that signs, whoever lags', idle, { ...order(old), peers: lagging }, replaced('own', old)],
    ['does not mind a pause', idle, { ...order(old), paused: true }, replaced('own', old)],
    [
      'takes the one that is prepared, which peers may know',
      prepared,
      { ...order(old), peers: lagging },
      replaced('next', old),
    ],
    [
      'takes what is offered where the CA is kept elsewhere',
      idle,
      { ...order(old), source: 'given', offered: fresh },
      replaced('offered', old),
    ],
    [
      'goes back to the former one where nothing else is there',
      active,
      { ...order(fresh), source: 'given', offered: fresh },
      replaced('previous', fresh),
    ],
    [
      'drops the one that was to sign',
      prepared,
      order(fresh),
      { ...replaced('', fresh), kind: 'distrust', fingerprint: fresh.fingerprint, from: undefined },
    ],
    [
      'drops the former one',
      active,
      { ...order(old), peers: lagging },
      { ...replaced('', old), kind: 'distrust', fingerprint: old.fingerprint, from: undefined },
    ],
    [
      'is carried out once',
      { ...idle, handled: [requestKey.distrust(old.fingerprint)] },
      { ...order(old), now: at(day) },
      'rest',
    ],
    [
      'reads the fingerprint in capitals',
      idle,
      { requests: { distrust: old.fingerprint.toUpperCase() } },
      replaced('own', old),
    ],
    ['does nothing for one that nobody knows', idle, { ...order(third), now: at(day) }, 'rest'],
  ])('%s', (_sentence, ring, change, expected) => {
    expect(outcome(look(ring, change))).toEqual(expected);
  });
});

describe('a request that cannot be honoured', () => {
  test.each<Case>([
    ['names no CA', idle, { requests: { distrust: 'ffff' } }, 'NothingToDistrust'],
    [
      'names the only CA there is',
      idle,
      { source: 'given', offered: old, requests: { distrust: old.fingerprint } },
      'NoOtherAuthority',
    ],
    ['is to undo nothing', idle, { requests: { undo: 'x' } }, 'NothingToUndo'],
    ['is to undo what cannot be undone', retiring, { requests: { undo: 'x' } }, 'NothingToUndo'],
    [
      'is to rotate a CA that is kept elsewhere',
      idle,
      { source: 'given', offered: old, requests: { rotate: 'x' } },
      'KeptElsewhere',
    ],
  ])('is refused with a reason: it %s', (_sentence, ring, change, expected) => {
    expect(look(ring, { now: at(day), ...change }).refusal?.reason).toBe(expected);
  });

  test.each<Case>([
    ['a rotation', idle, { requests: { rotate: 'x' } }, undefined],
    ['an undo', prepared, { requests: { undo: 'x' } }, undefined],
    ['what was done', { ...idle, handled: ['undo:x'] }, { requests: { undo: 'x' } }, undefined],
  ])('is not: %s', (_sentence, ring, change, expected) => {
    expect(look(ring, change).refusal).toBe(expected);
  });
});
