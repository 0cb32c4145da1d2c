// Applications that stand still in the middle of a long answer while a sidecar wants to end their connection: not a byte is lost, whichever of
// the two sidecars it is, over every way. And those that have nothing to say are ended at once.
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { carried, echo, Mesh, type Pod, received, until } from '../../support/pocketmesh.ts';
import { everyWay } from '../../support/ways.ts';

const minute = 60_000;
/** The time that a sidecar has to stop in, as the chart sets it. */
const DRAIN_MS = 25_000;
/** One in which the rest of a long answer is waited for for two seconds. */
const SHORT_DRAIN_MS = 10_000;
/** Each part is a long run by itself, and less than waits anywhere. */
const part = (of: string): string => of.repeat(100_000);
const whole = part('a') + part('b');

/** Ends its connection where its input ends, whatever it was about to say: the rest of an answer goes nowhere then. */
function pausing(socket: Socket): void {
  socket.on('end', () => void socket.end());
  socket.once('data', () => {
    socket.write(part('a'));
    setTimeout(() => {
      if (socket.writable) socket.end(part('b'));
    }, 3_000);
  });
}

/** Says the rest only when it hears that no more is asked: longer than any silence. */
function standing(socket: Socket): void {
  socket.on('end', () => void socket.end(part('b')));
  socket.once('data', () => void socket.write(part('a')));
}

/** Has said little, and takes its time with the rest when it hears that no more is asked. */
function slow(socket: Socket): void {
  socket.on('end', () => setTimeout(() => socket.end(part('b')), 1_000));
  socket.once('data', () => void socket.write('a'));
}

describe.each(everyWay)('over %s', (_, way) => {
  let mesh: Mesh;

  beforeEach(async () => {
    mesh = await Mesh.start(way);
  });
  afterEach(() => mesh.end());

  async function pods(behaviour: (socket: Socket) => void): Promise<{ readonly web: Pod; readonly api: Pod }> {
    const api = await mesh.pod('api', { behaviour });
    const web = await mesh.pod('web');
    mesh.publish(8080, [api]);
    return { web, api };
  }

  /** What arrives of an answer, of which the first part has arrived when one of the two sidecars begins to drain. */
  async function answered(
    who: 'web' | 'api',
    ms: number,
    pair: { readonly web: Pod; readonly api: Pod },
    first = part('a'),
  ) {
    const socket = pair.web.dial(8080);
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => void (bytes += chunk.length));
    const answer = received(socket);
    socket.write('?');
    await until(() => bytes >= first.length, 'the first part is here', minute);
    pair[who].core.live.drain(ms);
    const outcome = await answer;
    socket.end();
    await until(() => carried(pair.web).length === 1 && carried(pair.api).length === 1, 'both are logged', minute);
    return { ...outcome, text: outcome.text === first + part('b') ? 'whole' : `${outcome.text.length} bytes` };
  }

  test.each(['web', 'api'] as const)(
    'an answer that pauses for three seconds is whole when the sidecar of %s drains, even where its application gives up at the end of its input',
    async (who) => {
      expect(await answered(who, DRAIN_MS, await pods(pausing))).toEqual({ text: 'whole', error: undefined });
    },
    2 * minute,
  );

  test.each(['web', 'api'] as const)(
    'an answer that pauses for longer than any silence is whole when the sidecar of %s drains: the application is asked first',
    async (who) => {
      const pair = await pods(standing);
      expect(await answered(who, SHORT_DRAIN_MS, pair)).toEqual({ text: 'whole', error: undefined });
      expect(carried(pair[who])).toEqual([expect.objectContaining({ ending: 'drained', bytesOut: whole.length })]);
    },
    2 * minute,
  );

  test.each(['web', 'api'] as const)(
    'a short beginning of an answer is followed by the rest when the sidecar of %s drains, however late the application hears the question',
    async (who) => {
      const pair = await pods(slow);
      expect(await answered(who, DRAIN_MS, pair, 'a')).toEqual({ text: 'whole', error: undefined });
    },
    2 * minute,
  );

  test(
    'a connection that is idle between short exchanges ends in order, and so does one whose application never ends it',
    async () => {
      const deaf = (socket: Socket): void => void socket.on('data', (bytes: Buffer) => void socket.write(bytes));
      for (const behaviour of [echo, deaf]) {
        const { web, api } = await pods(behaviour);
        const socket = web.dial(8080);
        socket.write('x');
        await once(socket, 'data');
        api.core.live.drain(DRAIN_MS);
        expect(await received(socket)).toEqual({ text: '', error: undefined });
        socket.end();
        await until(() => carried(api).some(({ ending }) => ending === 'drained'), 'it is logged', minute);
        await Promise.all([web.stop(), api.stop()]);
      }
    },
    minute,
  );
});
