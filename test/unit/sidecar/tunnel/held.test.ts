// What may wait for readers that do not read: in one tunnel and in all of one peer. Peers here send a whole window to each stream at once, as
// none does that waits to see what is read.
import { expect, test } from '@jest/globals';
import type { Reason } from '../../../../lib/api/reasons.ts';
import { encodeFrame, frameTypes as types, WINDOW_BYTES } from '../../../../sidecar/tunnel/frame.ts';
import { MAX_PEER_BYTES, MAX_TUNNEL_BYTES, MOST_PEER_BYTES, type PeerHeld } from '../../../../sidecar/tunnel/held.ts';
import { encodeOpening } from '../../../../sidecar/tunnel/opening.ts';
import { TunnelSession } from '../../../../sidecar/tunnel/session.ts';
import type { TunnelStream } from '../../../../sidecar/tunnel/stream.ts';
import { type LinkedHalf, linkedHalves } from '../../../support/linkedhalves.ts';
import { anOpening, type Heard, listenTo, settled } from '../../../support/tunnelpair.ts';

const payload = new Uint8Array(WINDOW_BYTES / 4);

/** A session whose peer does what a test wants; applications of its streams read nothing. */
class Stalled {
  readonly session: TunnelSession;
  readonly streams: TunnelStream[] = [];
  readonly ears: Heard[] = [];
  readonly lost: (Reason | undefined)[] = [];
  readonly #raw: LinkedHalf;
  #refused = 0;

  constructor(peer: PeerHeld) {
    const [half, raw] = linkedHalves({ highWater: 100_000_000 });
    this.#raw = raw;
    raw.start({
      data: () => undefined,
      ended: () => undefined,
      drained: () => undefined,
      closed: () => undefined,
    });
    const session: TunnelSession = new TunnelSession({
      half,
      role: 'accepting',
      maxStreams: 10_000,
      nowMs: () => 0,
      peer,
      events: {
        opened: (stream) => {
          session.accept(stream);
          const ear = listenTo(stream);
          stream.pause();
          this.streams.push(stream);
          this.ears.push(ear);
          void ear.closed.then((reason) => this.lost.push(reason));
        },
        retired: () => undefined,
        ended: () => undefined,
      },
    });
    this.session = session;
  }

  /** Asks for a stream; tells whether it was taken. */
  async open(): Promise<boolean> {
    const id = this.streams.length + this.#refused + 1;
    const before = this.streams.length;
    this.#raw.write(encodeFrame({ type: types.open, stream: id, payload: encodeOpening(anOpening) }), true);
    await settled(3);
    if (this.streams.length > before) return true;
    this.#refused += 1;
    return false;
  }

  /** Sends all that a stream was granted. */
  async fill(stream: TunnelStream): Promise<void> {
    for (let part = 0; part < 4; part += 1) {
      this.#raw.write(encodeFrame({ type: types.data, stream: stream.id, payload }), true);
      await settled(2);
    }
  }
}

test('streams that were there before it are reset with overload, each that gets more than may wait for all of a peer; those that hold go on', async () => {
  const peer = { bytes: 0 };
  const tunnels = [new Stalled(peer), new Stalled(peer)] as const;
  const each = MOST_PEER_BYTES / WINDOW_BYTES / 2 + 40;
  for (const tunnel of tunnels) for (let count = 0; count < each; count += 1) expect(await tunnel.open()).toBe(true);
  let most = 0;
  for (const tunnel of tunnels) {
    for (const stream of tunnel.streams) {
      await tunnel.fill(stream);
      most = Math.max(most, peer.bytes);
    }
  }
  expect(most).toBeLessThanOrEqual(MOST_PEER_BYTES + payload.length);
  const [first, second] = tunnels;
  expect(first.lost).toEqual([]);
  expect(second.lost.length).toBeGreaterThanOrEqual(80);
  expect(new Set(second.lost)).toEqual(new Set(['overload']));
  expect([first.session.isFull, second.session.isFull, await first.open(), await second.open()]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  // What is read is there to the last byte, and then there is room for others.
  for (const { streams } of tunnels) for (const stream of streams) stream.resume();
  await settled();
  for (const ear of first.ears) expect(ear.bytes().length).toBe(WINDOW_BYTES);
  expect([peer.bytes, await first.open(), await second.open()]).toEqual([0, true, true]);
  for (const { session } of tunnels) session.close();
}, 60_000);

test('one tunnel takes no streams beyond its own bound, and two none beyond that of their peer', async () => {
  const peer = { bytes: 0 };
  const tunnels = [new Stalled(peer), new Stalled(peer), new Stalled(peer)] as const;
  for (const tunnel of tunnels.slice(0, 2)) {
    for (let count = 0; count < MAX_TUNNEL_BYTES / WINDOW_BYTES; count += 1) {
      expect([count, await tunnel.open()]).toEqual([count, true]);
      await tunnel.fill(tunnel.streams.at(-1) as TunnelStream);
    }
    expect(await tunnel.open()).toBe(false);
  }
  expect(peer.bytes).toBe(MAX_PEER_BYTES);
  expect([tunnels[2].session.held, await tunnels[2].open()]).toEqual([0, false]);
  for (const { session } of tunnels) session.close();
  await settled();
  expect(peer.bytes).toBe(0);
}, 60_000);
