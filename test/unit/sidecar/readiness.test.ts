import { expect, test } from '@jest/globals';
import { heldReadiness } from '../../../sidecar/readiness.ts';
import { TestClock } from '../../support/clock.ts';

function parts() {
  const clock = new TestClock();
  const missing: string[] = ['policy'];
  const stop = new AbortController();
  const ask = heldReadiness({ missing: () => [...missing], clock, stopping: stop.signal });
  return { clock, missing, stop, ask };
}

/** What was answered so far. */
function answerOf(asked: Promise<readonly string[]>): { value: readonly string[] | undefined } {
  const answer: { value: readonly string[] | undefined } = { value: undefined };
  void asked.then((value) => {
    answer.value = value;
  });
  return answer;
}

test('a question before the pod is ready is answered as soon as it is', async () => {
  const { clock, missing, ask } = parts();
  const answer = answerOf(ask());
  await clock.advance(200);
  expect(answer.value).toBeUndefined();
  missing.length = 0;
  await clock.advance(20);
  expect(answer.value).toEqual([]);
});

test('and with what is missing before the kubelet gives up', async () => {
  const { clock, ask } = parts();
  const answer = answerOf(ask());
  await clock.advance(900);
  expect(answer.value).toEqual(['policy']);
});

test('a pod that has been ready once says at once that it is not any more', async () => {
  const { missing, ask } = parts();
  missing.length = 0;
  expect(await ask()).toEqual([]);
  missing.push('own_certificate_expired');
  expect(await ask()).toEqual(['own_certificate_expired']);
});

test('nothing is held back from a process that stops', async () => {
  const { missing, stop, ask } = parts();
  const asked = ask();
  missing[0] = 'stopping';
  stop.abort();
  expect(await asked).toEqual(['stopping']);
  expect(await ask()).toEqual(['stopping']);
});
