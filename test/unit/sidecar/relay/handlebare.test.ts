// Connections on bare handles, with handles that a test plays: what the system may answer, and what may never be done to a handle.
import type { Server } from 'node:net';
import { describe, expect, jest, test } from '@jest/globals';
import type { BareDialled, BareIncoming } from '../../../../sidecar/relay/bare.ts';
import type { Half } from '../../../../sidecar/relay/half.ts';
import { BareConnections } from '../../../../sidecar/relay/handlebare.ts';
import type { HandleOwner, OwnerEvents } from '../../../../sidecar/relay/handleowner.ts';
import type { HandleParts, HandleRequest, ListeningHandle, TcpHandle } from '../../../../sidecar/relay/handles.ts';
import type { SystemCalls } from '../../../../sidecar/relay/systemcalls.ts';

const [UV_ECANCELED, UV_ECONNREFUSED, UV_EADDRNOTAVAIL, UV_EMFILE, UV_ENOTCONN, UV_EINVAL] = [
  -125, -111, -99, -24, -107, -22,
];

/** What a handle was told, and what it answers. */
class PlayedHandle {
  readonly calls: string[] = [];
  readonly answers: Partial<Record<'connect' | 'shutdown' | 'getpeername', number>> = {};
  request: HandleRequest | undefined;
  fd = 7;

  connect(request: HandleRequest, address: string, port: number): number {
    return this.#asked('connect', request, `connect ${address} ${port}`);
  }
  connect6(request: HandleRequest, address: string, port: number): number {
    return this.#asked('connect', request, `connect6 ${address} ${port}`);
  }
  shutdown(request: HandleRequest): number {
    return this.#asked('shutdown', request, 'shutdown');
  }
  getpeername(name: { address?: string; port?: number }): number {
    Object.assign(name, { address: '10.0.0.9', port: 40_000 });
    return this.answers.getpeername ?? 0;
  }
  setNoDelay(): number {
    return this.#told('setNoDelay');
  }
  setKeepAlive(): number {
    return this.#told('setKeepAlive');
  }
  reset(): number {
    return this.#told('reset');
  }
  close(): void {
    this.#told('close');
  }

  #asked(what: 'connect' | 'shutdown', request: HandleRequest, call: string): number {
    this.request = request;
    this.#told(call);
    return this.answers[what] ?? 0;
  }
  #told(call: string): number {
    this.calls.push(call);
    return 0;
  }
}

interface Bench {
  readonly connections: BareConnections;
  /** The handle that dialling makes. */
  readonly handle: PlayedHandle;
  /** Who owns the connections that stand. */
  readonly owners: HandleOwner[];
  readonly told: string[];
}

function bench(calls?: SystemCalls): Bench {
  const handle = new PlayedHandle();
  const owners: HandleOwner[] = [];
  const told: string[] = [];
  const request = (): HandleRequest => ({ oncomplete: () => undefined });
  const parts: HandleParts = {
    state: new Int32Array(4),
    readIndex: 0,
    errorIndex: 1,
    newTcp: () => handle as unknown as TcpHandle,
    newConnect: request,
    newShutdown: request,
    calls,
  };
  const events: OwnerEvents = {
    failed: (reason) => void told.push(`failed ${reason}`),
    gone: () => void told.push('gone'),
  };
  const half = (owner: HandleOwner): Half => {
    owners.push(owner);
    owner.watch(events);
    return { reset: () => owner.reset() } as Half;
  };
  return { connections: new BareConnections(parts, half), handle, owners, told };
}

function dial(connections: BareConnections, address: string, timeoutMs: number): Promise<BareDialled> {
  return new Promise((resolve) => connections.dial({ address, port: 80 }, timeoutMs, resolve));
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('dialling', () => {
  test('gives a half when the system has connected, with the options of every connection', async () => {
    const { connections, handle } = bench();
    const dialled = dial(connections, '10.0.0.1', 60_000);
    handle.request?.oncomplete(0);
    expect(await dialled).toMatchObject({ ok: true });
    expect(handle.calls).toEqual(['connect 10.0.0.1 80', 'setNoDelay', 'setKeepAlive']);
  });

  test('knows IPv6 addresses, with and without a zone', () => {
    for (const address of ['fd00::1', 'fe80::1%2']) {
      const { connections, handle } = bench();
      void dial(connections, address, 60_000);
      handle.request?.oncomplete(0);
      expect(handle.calls[0]).toBe(`connect6 ${address} 80`);
    }
  });

  test.each([
    ['ECONNREFUSED', UV_ECONNREFUSED],
    ['ETIMEDOUT', -110],
    ['EHOSTUNREACH', -113],
  ])('says %s as the system does, and closes what it had', async (name, status) => {
    const { connections, handle } = bench();
    const dialled = dial(connections, '10.0.0.1', 60_000);
    handle.request?.oncomplete(status);
    expect(await dialled).toEqual({ ok: false, detail: name });
    expect(handle.calls).toEqual(['connect 10.0.0.1 80', 'close']);
  });

  test.each([
    ['EADDRNOTAVAIL', UV_EADDRNOTAVAIL],
    ['EMFILE', UV_EMFILE],
  ])('says %s when the system refuses at once', async (name, answer) => {
    const { connections, handle } = bench();
    handle.answers.connect = answer;
    expect(await dial(connections, '10.0.0.1', 60_000)).toEqual({ ok: false, detail: name });
    expect(handle.calls).toEqual(['connect 10.0.0.1 80', 'close']);
  });

  test('gives up in its time, once, and hears what was called off without taking it for an answer', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'queueMicrotask', 'performance'] });
    try {
      const { connections, handle, owners } = bench();
      const dialled = dial(connections, '10.0.0.1', 2_000);
      jest.advanceTimersByTime(2_250);
      handle.request?.oncomplete(UV_ECANCELED);
      expect(await dialled).toEqual({ ok: false, detail: 'connect timeout' });
      expect(handle.calls).toEqual(['connect 10.0.0.1 80', 'close']);
      expect(owners).toEqual([]);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('accepting', () => {
  function door({ connections }: Bench) {
    const taken: BareIncoming[] = [];
    const failed: string[] = [];
    const calls: string[] = [];
    const listening: ListeningHandle = {
      onconnection: () => undefined,
      setNoDelay: () => calls.push('setNoDelay'),
      setKeepAlive: () => calls.push('setKeepAlive'),
    };
    const server = { _handle: listening, address: () => ({ port: 16_001 }) } as unknown as Server;
    connections.accept(
      server,
      (incoming) => taken.push(incoming),
      (code) => failed.push(code),
    );
    return { listening, taken, failed, calls };
  }

  test('takes over from the server, and gives what is accepted its options by way of the listener', () => {
    const { listening, taken, calls } = door(bench());
    const handle = new PlayedHandle();
    listening.onconnection(0, handle as unknown as TcpHandle);
    expect(taken[0]).toMatchObject({ remoteAddress: '10.0.0.9', remotePort: 40_000, localPort: 16_001, descriptor: 7 });
    expect(calls).toEqual(['setNoDelay', 'setKeepAlive']);
    expect(handle.calls).toEqual([]);
  });

  test('closes what was reset before it was accepted, and tells nobody', () => {
    const { listening, taken, failed } = door(bench());
    const handle = new PlayedHandle();
    handle.answers.getpeername = UV_ENOTCONN;
    listening.onconnection(0, handle as unknown as TcpHandle);
    expect([taken, failed, handle.calls]).toEqual([[], [], ['close']]);
  });

  test.each([
    ['takes the name of a peer from the system itself', { address: '10.0.0.8', port: 1 }, ['10.0.0.8', 1]],
    ['asks the handle where the system is not understood', undefined, ['10.0.0.9', 40_000]],
  ])('%s', (_, said, expected) => {
    const { listening, taken } = door(bench({ peer: () => said, end: jest.fn() }));
    listening.onconnection(0, new PlayedHandle() as unknown as TcpHandle);
    expect([taken[0]?.remoteAddress, taken[0]?.remotePort]).toEqual(expected);
  });

  test('says why nothing could be accepted', () => {
    const { listening, failed } = door(bench());
    listening.onconnection(UV_EMFILE, undefined);
    expect(failed).toEqual(['EMFILE']);
  });

  test('tells once that a connection is closed, later, and has no descriptor from then on', async () => {
    const { listening, taken } = door(bench());
    const handle = new PlayedHandle();
    listening.onconnection(0, handle as unknown as TcpHandle);
    const gone: string[] = [];
    taken[0]?.onGone(() => gone.push('gone'));
    taken[0]?.reset();
    taken[0]?.reset();
    expect([gone, handle.calls, taken[0]?.descriptor]).toEqual([[], ['reset'], -1]);
    await turn();
    expect(gone).toEqual(['gone']);
  });

  test('is not possible with a server that listens in another way', () => {
    expect(() => bench().connections.accept({ _handle: {} } as unknown as Server, jest.fn(), jest.fn())).toThrow(
      'accepts connections in another way',
    );
  });
});

describe('a connection', () => {
  async function standing(parts: Bench = bench()): Promise<Bench & { readonly owner: HandleOwner }> {
    const dialled = dial(parts.connections, '10.0.0.1', 60_000);
    parts.handle.request?.oncomplete(0);
    await dialled;
    parts.handle.calls.length = 0;
    const [owner] = parts.owners;
    if (owner === undefined) throw new Error('nothing stands');
    return { ...parts, owner };
  }

  test('is closed once, and says so in a later turn', async () => {
    const { owner, handle, told } = await standing();
    owner.destroy();
    owner.destroy();
    owner.reset();
    expect([handle.calls, told, owner.destroyed]).toEqual([['close'], [], true]);
    await turn();
    expect(told).toEqual(['gone']);
  });

  test('says when its end has left', async () => {
    const { owner, handle, told } = await standing();
    owner.end(() => told.push('ended'));
    expect(told).toEqual([]);
    handle.request?.oncomplete(0);
    expect(told).toEqual(['ended']);
  });

  test.each([
    ['is done at once', 1],
    ['finds nobody there', UV_ENOTCONN],
  ])('takes an end that %s for one that has left', async (_, answer) => {
    const { owner, handle, told } = await standing();
    handle.answers.shutdown = answer;
    owner.end(() => told.push('ended'));
    expect(told).toEqual(['ended']);
  });

  test('has failed when it cannot be ended', async () => {
    const { owner, handle, told } = await standing();
    handle.answers.shutdown = UV_EINVAL;
    owner.end(() => told.push('ended'));
    expect(told).toEqual(['failed reset']);
  });

  test('is not reset while its end is under way, which would leave it open for ever, but right after', async () => {
    const { owner, handle, told } = await standing();
    owner.end(() => told.push('ended'));
    owner.reset();
    await turn();
    expect([handle.calls, told, owner.destroyed]).toEqual([['shutdown'], [], true]);
    handle.request?.oncomplete(0);
    await turn();
    expect([handle.calls, told]).toEqual([['shutdown', 'reset'], ['gone']]);
  });

  test('that is ended by the system itself has ended at once, and may be reset', async () => {
    const ended: number[] = [];
    const calls: SystemCalls = { peer: () => undefined, end: (descriptor) => void ended.push(descriptor) };
    const { owner, handle, told } = await standing(bench(calls));
    owner.end(() => told.push('ended'));
    expect([ended, told]).toEqual([[7], ['ended']]);
    owner.reset();
    await turn();
    expect([handle.calls, told]).toEqual([['reset'], ['ended', 'gone']]);
  });

  test('that is closed while its end is under way does not hear of that', async () => {
    const { owner, handle, told } = await standing();
    owner.end(() => told.push('ended'));
    owner.destroy();
    handle.request?.oncomplete(UV_ECANCELED);
    await turn();
    expect(told).toEqual(['gone']);
  });
});
