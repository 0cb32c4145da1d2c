// The one connection to the control API that all workers share, without a connection: what is followed once, passed on, replayed and reported.
import { beforeEach, describe, expect, test } from '@jest/globals';
import { controlPaths, type StatusReport } from '../../../../lib/api/control.ts';
import type { ControlClient } from '../../../../sidecar/control/client.ts';
import { parseDestination } from '../../../../sidecar/control/parse.ts';
import type { Applied } from '../../../../sidecar/control/status.ts';
import { Hub } from '../../../../sidecar/workers/hub.ts';
import type { Told } from '../../../../sidecar/workers/link.ts';

const applied: Applied = {
  podName: 'web-0',
  podUid: 'uid',
  selfVersion: 'v2',
  bundleFingerprint: 'f',
  serial: '02',
  notAfter: '2030-01-01T00:00:00Z',
};
const report: StatusReport = { ...applied, selfVersion: 'v1', plaintext: [] };
const destination = controlPaths.destinations + encodeURIComponent('10.0.0.1:80');
const snapshot = { version: 'd1', known: false, endpoints: [] };

let listeners: Map<string, (message: unknown) => void>;
let posts: unknown[];
let arrives: boolean;
let connection: (stands: boolean) => void;
let agreed: PromiseWithResolvers<Applied | undefined>;
let touched: number;
let hub: Hub;

/** What a hub uses of a client. */
function fakeClient(onConnection: (stands: boolean) => void): ControlClient {
  connection = onConnection;
  const client = {
    subscribe: (path: string, listener: (message: unknown) => void) => {
      expect(listeners.has(path)).toBe(false);
      listeners.set(path, listener);
      return () => void listeners.delete(path);
    },
    post: (_path: string, body: unknown) => {
      posts.push(body);
      return Promise.resolve(arrives);
    },
  };
  return client as unknown as ControlClient;
}

class Worker {
  readonly told: Told[] = [];
  send(told: Told): void {
    this.told.push(told);
  }
}

beforeEach(() => {
  listeners = new Map();
  posts = [];
  arrives = true;
  touched = 0;
  agreed = Promise.withResolvers();
  hub = new Hub(fakeClient, {
    parseDestination,
    onDestination: () => {
      touched += 1;
    },
    onConnection: () => undefined,
    agreed: () => agreed.promise,
  });
  connection(true);
});

describe('what is followed', () => {
  test('is followed once, whoever asks, and until nobody does', () => {
    const [one, other] = [new Worker(), new Worker()];
    const leave = hub.subscribe(controlPaths.self, () => undefined);
    hub.follow(controlPaths.self, one);
    hub.follow(controlPaths.self, other);
    leave();
    hub.leave(controlPaths.self, one);
    expect(listeners.has(controlPaths.self)).toBe(true);
    hub.forget(other);
    expect(listeners.size).toBe(0);
  });

  test('goes to the first worker, then to all others, and at once to who comes later', () => {
    const [one, late] = [new Worker(), new Worker()];
    const order: unknown[] = [];
    hub.subscribe(controlPaths.self, (message) => order.push(message));
    hub.follow(controlPaths.self, one);
    listeners.get(controlPaths.self)?.('first');
    hub.follow(controlPaths.self, late);
    const line = { kind: 'line', path: controlPaths.self, message: 'first' };
    expect([order, one.told, late.told]).toEqual([['first'], [line], [line]]);
  });

  test('is told to nobody when the first worker refuses it', () => {
    const one = new Worker();
    hub.subscribe(controlPaths.self, () => {
      throw new Error('not that');
    });
    hub.follow(controlPaths.self, one);
    expect(() => listeners.get(controlPaths.self)?.('bad')).toThrow('not that');
    hub.follow(destination, one);
    expect(() => listeners.get(destination)?.({ known: 'what' })).toThrow();
    expect(one.told).toEqual([]);
  });

  test('is not what an earlier connection said of policy and revocations, but is what it said of destinations', async () => {
    const [one, late] = [new Worker(), new Worker()];
    for (const path of [controlPaths.self, controlPaths.revocations, destination]) hub.follow(path, one);
    for (const listener of listeners.values()) listener(snapshot);
    connection(false);
    for (const path of [controlPaths.self, controlPaths.revocations, destination]) hub.follow(path, late);
    expect(late.told).toEqual([{ kind: 'line', path: destination, message: snapshot }]);
    const own: unknown[] = [];
    hub.subscribe(destination, (message) => own.push(message));
    await Promise.resolve();
    expect(own).toEqual([snapshot]);
  });

  test('is kept, also where only another worker follows it', () => {
    hub.follow(destination, new Worker());
    listeners.get(destination)?.(snapshot);
    expect(touched).toBe(1);
    const self = {} as never;
    const kept = { key: '10.0.0.1:80', snapshot };
    expect(hub.kept({ self, destinations: [] }).destinations).toEqual([kept]);
    const own = { key: '10.0.0.1:80', snapshot: { ...snapshot, version: 'own' } };
    expect(hub.kept({ self, destinations: [own] }).destinations).toEqual([own]);
  });
});

describe('a report', () => {
  test('waits until all workers apply the same, and says that', async () => {
    const posted = hub.post(controlPaths.status, report);
    await Promise.resolve();
    expect(posts).toEqual([]);
    agreed.resolve(applied);
    expect(await posted).toBe(true);
    expect(posts).toEqual([{ ...report, selfVersion: 'v2' }]);
  });

  test('has what all have counted, once', async () => {
    agreed.resolve(applied);
    const seen = { address: '10.0.0.9', port: 80, refused: true, count: 2 };
    hub.count({ plaintext: [seen] });
    arrives = false;
    expect(await hub.post(controlPaths.status, { ...report, plaintext: [seen] })).toBe(false);
    arrives = true;
    hub.count({ plaintext: [seen] });
    await hub.post(controlPaths.status, report);
    await hub.post(controlPaths.status, report);
    expect(posts).toEqual(
      [4, 4, undefined].map((count) => {
        return { ...report, ...applied, plaintext: count === undefined ? [] : [{ ...seen, count }] };
      }),
    );
  });

  test('is not made of nothing', async () => {
    agreed.resolve(undefined);
    expect(await hub.post(controlPaths.status, report)).toBe(false);
    expect(posts).toEqual([]);
  });
});
