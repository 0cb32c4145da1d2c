// The order in which CAs of a signer elsewhere come and go.
import { X509Certificate } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { TLSIssuerStatus } from '../../../../lib/api/tlsissuer.ts';
import { parseCertificates } from '../../../../lib/pki/bundle.ts';
import { authorityOf, type Followers, Staging, type UpstreamAuthority } from '../../../../operator/issuers/staging.ts';
import { DAY_MS, testAuthority, testLeaf } from '../../../support/pki.ts';

const now = new Date();

let first: UpstreamAuthority;
let second: UpstreamAuthority;
let third: UpstreamAuthority;
let untrusting: readonly string[];
let unmoved: readonly string[];
let trusting: readonly string[];

const followers: Followers = {
  untrusting: () => untrusting,
  unmoved: () => unmoved,
  trusting: () => trusting,
};

beforeAll(async () => {
  const make = async (): Promise<UpstreamAuthority> =>
    authorityOf(parseCertificates((await testAuthority({ lifetimeMs: 90 * DAY_MS })).certificate));
  [first, second, third] = [await make(), await make(), await make()];
});

beforeEach(() => {
  untrusting = [];
  unmoved = [];
  trusting = [];
});

function roles(staging: Staging): string {
  return staging
    .authorities()
    .map(({ role, fingerprint }) => `${role} ${nameOf(fingerprint)}`)
    .join(', ');
}

function nameOf(fingerprint: string): string {
  return ['first', 'second', 'third'][[first, second, third].findIndex((ca) => ca.fingerprint === fingerprint)] ?? '?';
}

function bundle(staging: Staging): string {
  return staging
    .bundle()
    .members.map((each) => nameOf(authorityOf([each]).fingerprint))
    .join(', ');
}

function active(): Staging {
  const staging = new Staging('corp', undefined);
  staging.offer(first);
  staging.advance(now, followers);
  expect(roles(staging)).toBe('Active first');
  return staging;
}

function statusOf(staging: Staging): TLSIssuerStatus {
  return {
    trustBundle: staging.bundle().trustBundle,
    authorities: staging.authorities(),
    rotation: staging.rotation(),
  };
}

describe('the CAs of a signer elsewhere', () => {
  test('wait for every peer, and say who holds them up', () => {
    untrusting = ['shop/web-1: does not have the new CA'];
    const staging = new Staging('corp', undefined);
    staging.offer(first);
    staging.advance(now, followers);
    expect([roles(staging), bundle(staging)]).toEqual(['Next first', 'first']);
    expect(staging.rotation()).toMatchObject({ phase: 'Prepared', waitingFor: untrusting, waitingCount: 1 });
    expect(staging.active).toBeUndefined();
  });

  test('go through announced, used, and gone', () => {
    const staging = active();
    untrusting = ['shop/web-1: no'];
    staging.offer(second);
    staging.advance(now, followers);
    expect([roles(staging), bundle(staging)]).toEqual(['Active first, Next second', 'first, second']);
    untrusting = [];
    unmoved = ['shop/web: old'];
    staging.offer(second);
    staging.advance(now, followers);
    expect([roles(staging), bundle(staging)]).toEqual(['Active second, Retiring first', 'second, first']);
    unmoved = [];
    trusting = ['shop/web-1: still'];
    staging.advance(now, followers);
    expect([roles(staging), bundle(staging)]).toEqual(['Active second, Retiring first', 'second']);
    expect(staging.rotation()).toMatchObject({ phase: 'Retiring', waitingFor: trusting });
    trusting = [];
    staging.advance(now, followers);
    expect([roles(staging), staging.rotation().phase]).toEqual(['Active second', 'Idle']);
  });

  test('stand still while paused', () => {
    const staging = active();
    staging.offer(second);
    staging.advance(now, followers, { paused: true });
    expect(roles(staging)).toBe('Active first, Next second');
  });

  test('do not wait for the sake of a CA that has expired', () => {
    const staging = active();
    untrusting = ['shop/web-1: asleep'];
    staging.offer(second);
    staging.advance(new Date(first.notAfter.getTime() + 1), followers);
    expect(roles(staging)).toContain('Active second');
  });

  test('drop a successor that was replaced before it was used', () => {
    const staging = active();
    untrusting = ['shop/web-1: no'];
    staging.offer(second);
    staging.advance(now, followers);
    staging.offer(third);
    staging.advance(now, followers);
    expect([roles(staging), bundle(staging)]).toEqual(['Active first, Next third', 'first, third']);
  });

  test('may go back to the one before while its leaves are still about', () => {
    const staging = active();
    unmoved = ['shop/web: old'];
    staging.offer(second);
    staging.advance(now, followers);
    staging.offer(first);
    staging.advance(now, followers);
    expect(roles(staging)).toBe('Active first, Retiring second');
  });

  test('with one root under two intermediates change at once, and the root stays', async () => {
    const shared = { ...second, anchors: first.anchors };
    const staging = active();
    staging.offer(shared);
    staging.advance(now, followers);
    expect([roles(staging), bundle(staging)]).toEqual(['Active second', 'first']);
  });

  test.each([
    ['announced', 'Active first, Next second', () => (untrusting = ['x'])],
    ['used', 'Active second, Retiring first', () => (unmoved = ['x'])],
    ['gone', 'Active second, Retiring first', () => (trusting = ['x'])],
  ])('are %s as before after another replica has taken over', (_name, wanted, hold) => {
    hold();
    const before = active0();
    before.offer(second);
    before.advance(now, followers);
    const after = new Staging('corp', statusOf(before));
    expect(roles(after)).toBe(wanted);
    expect(bundle(after)).toBe(bundle(before));
    after.offer(second);
    after.advance(now, followers);
    expect([roles(after), bundle(after)]).toEqual([roles(before), bundle(before)]);
    [untrusting, unmoved, trusting] = [[], [], []];
    after.offer(second);
    after.advance(now, followers);
    after.advance(now, followers);
    expect([roles(after), bundle(after), after.isMoving]).toEqual(['Active second', 'second', false]);
  });

  test('are out of the bundle at once when a person distrusts them', () => {
    const staging = active();
    unmoved = ['shop/web: old'];
    staging.offer(second);
    staging.advance(now, followers, { paused: true, distrusted: first.fingerprint });
    expect([roles(staging), bundle(staging)]).toEqual(['Active second', 'second']);
  });

  test('that nobody can follow sign no more when a person distrusts them', () => {
    const staging = active();
    staging.advance(now, followers, { distrusted: first.fingerprint });
    expect([roles(staging), bundle(staging), staging.active]).toEqual(['', '', undefined]);
  });

  test('outlive a status that somebody garbled', () => {
    const staging = new Staging('corp', { trustBundle: 'what?', authorities: [] });
    staging.offer(first);
    staging.advance(now, followers);
    expect(roles(staging)).toBe('Active first');
  });
});

/** Active, whatever the followers say otherwise. */
function active0(): Staging {
  const staging = new Staging('corp', undefined);
  staging.offer(first);
  staging.advance(now, { untrusting: () => [], unmoved: () => [], trusting: () => [] });
  return staging;
}

describe('a chain that cannot sign', () => {
  test.each(['of nothing', 'of a leaf'])('%s is refused', async (kind) => {
    const { certificate } = await testLeaf(await testAuthority());
    const chain = kind === 'of a leaf' ? [new X509Certificate(certificate)] : [];
    expect(() => authorityOf(chain)).toThrow(expect.objectContaining({ reason: 'AuthorityUnusable' }));
  });
});
