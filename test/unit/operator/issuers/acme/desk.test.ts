// Challenges in Secrets: put up together, taken down one by one, waited for, and swept when a crash left them behind.
import { describe, expect, test } from '@jest/globals';
import type { AcmeChallenge, StatusReport } from '../../../../../lib/api/control.ts';
import type { Secret } from '../../../../../lib/kube/object.ts';
import { resources } from '../../../../../lib/kube/resources.ts';
import type { PodReport } from '../../../../../operator/control/report.ts';
import { challengesIn, challengesSecretName } from '../../../../../operator/issuers/acme/board.ts';
import { SecretDesk } from '../../../../../operator/issuers/acme/desk.ts';
import { kubeDeps } from '../../../../support/kubedeps.ts';

const service = { namespace: 'shop', service: 'web' };
const ref = { namespace: 'tabard-system', name: challengesSecretName(service) };
const challenge = (token: string): AcmeChallenge => ({ type: 'http-01', token, keyAuthorization: `${token}.x` });

/** A desk with sidecars that answer what is set here, by pod. */
function open() {
  const { client, clock } = kubeDeps();
  const sidecars = new Map<string, readonly string[]>();
  const swept: Secret[] = [];
  const ofService = (): readonly PodReport[] =>
    [...sidecars].map(([podName, challenges]) => {
      const report = { challenges } as unknown as StatusReport;
      return { ...service, podUid: podName, podName, receivedAt: clock.now(), report };
    });
  const desk = new SecretDesk({
    client,
    clock,
    namespace: ref.namespace,
    ownSecrets: { list: () => swept },
    reports: { ofService },
  });
  const held = async (): Promise<readonly string[]> => {
    const secret = await client.get(resources.secrets, ref).catch(() => undefined);
    return secret === undefined ? [] : challengesIn(secret, clock.now()).map(({ token }) => token);
  };
  return { client, clock, sidecars, desk, held, swept };
}

const { signal } = new AbortController();

describe('the desk', () => {
  test('keeps the challenges of orders side by side, and its Secret goes with the last', async () => {
    const { desk, sidecars, held, client } = open();
    sidecars.set('web-1', ['a', 'b', 'c']);
    await Promise.all([
      desk.present(service, [challenge('a'), challenge('b')], signal),
      desk.present(service, [challenge('c')], signal),
    ]);
    expect([...(await held())].sort()).toEqual(['a', 'b', 'c']);
    await desk.withdraw(service, ['a', 'b'], signal);
    expect(await held()).toEqual(['c']);
    await desk.withdraw(service, ['c'], signal);
    expect((await client.list(resources.secrets)).items).toEqual([]);
    await desk.withdraw(service, ['c'], signal);
  });

  test.each<readonly [string, readonly (readonly string[])[], number, string]>([
    ['all answer', [['a'], ['a']], 0, 'served'],
    ['one of two answers', [['a'], []], 19_000, 'waiting'],
    ['one of two answers for long', [['a'], []], 21_000, 'served'],
    ['none answers', [[], []], 59_000, 'waiting'],
    ['none answers for long', [[], []], 61_000, 'ChallengeNotServed'],
    ['there is none', [], 61_000, 'ChallengeNotServed'],
  ])('waits for sidecars: %s', async (_, answers, ms, expected) => {
    const { desk, sidecars, clock } = open();
    for (const [index, tokens] of answers.entries()) sidecars.set(`web-${index}`, tokens);
    let outcome = 'waiting';
    desk.present(service, [challenge('a')], signal).then(
      () => (outcome = 'served'),
      (error: { readonly reason: string }) => (outcome = error.reason),
    );
    for (let waited = 0; waited <= ms; waited += 250) await clock.advance(250);
    expect(outcome).toBe(expected);
  });

  test('sweeps what has run out and nothing else', async () => {
    const { desk, sidecars, clock, client, swept, held } = open();
    sidecars.set('web-1', ['a']);
    await desk.present(service, [challenge('a')], signal);
    swept.push(await client.get(resources.secrets, ref));
    await desk.sweep(signal);
    expect(await held()).toEqual(['a']);
    await clock.advance(31 * 60_000);
    await desk.sweep(signal);
    expect((await client.list(resources.secrets)).items).toEqual([]);
  });
});
