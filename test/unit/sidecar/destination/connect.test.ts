import { PassThrough } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import type { Endpoint } from '../../../../lib/api/control.ts';
import { Balancer } from '../../../../sidecar/destination/balance.ts';
import { Connector, type ConnectResult, type EndpointChoice } from '../../../../sidecar/destination/connect.ts';
import { openStreamHalf, StreamHalf } from '../../../../sidecar/relay/streamhalf.ts';
import type { Opened, SecureLeg, Target, Transport } from '../../../../sidecar/transport/transport.ts';
import { TestClock } from '../../../support/clock.ts';

const identity = 'spiffe://cluster.local/ns/shop/svc/api';
const limits = { connectTimeoutMs: 1, handshakeTimeoutMs: 1 };

const leg: SecureLeg = {
  half: new StreamHalf(new PassThrough(), { reset: () => undefined }),
  tls: { version: 'TLSv1.3', cipher: '', group: '', resumed: false, serial: '', started: '', alpn: '' },
  peer: { identity, fingerprint: '', serial: '', issuer: '', notBefore: new Date(0), notAfter: new Date(0) },
  ownNotAfter: new Date(0),
};

type Failure = Extract<Opened, { ok: false }>;
const failure = (change: Partial<Failure> = {}): Failure => ({
  ok: false,
  reason: 'upstream_unreachable',
  detail: 'ECONNREFUSED',
  fault: 'endpoint',
  ...change,
});

/** A connector over a transport that answers by address. */
function bench(addresses: readonly string[], answers: (address: string) => Opened) {
  const opened: Target[] = [];
  const transport: Transport = {
    name: 'direct',
    open: (target, _, done) => {
      opened.push(target);
      done(answers(target.address));
    },
  };
  const balancer = new Balancer();
  const endpoints: Endpoint[] = addresses.map((address) => ({ address, port: 80, transport: 'mutual', identity }));
  balancer.update(endpoints);
  const choice: EndpointChoice = {
    serverName: 'api.shop.svc.cluster.local',
    pick: (nowMs, tried) => balancer.pick(nowMs, tried),
  };
  const clock = new TestClock();
  const connector = new Connector({ clock, transport, openHalf: openStreamHalf, ownAddresses: new Set() });
  return { connector, choice, opened, clock, balancer };
}

const connect = (connector: Connector, choice: EndpointChoice): Promise<ConnectResult> =>
  new Promise((resolve) => connector.connect(choice, limits, resolve));

const active = (balancer: Balancer): number => balancer.pick(Infinity, new Set())?.active ?? -1;

describe('a connector', () => {
  test('asks the transport for exactly the identity of the endpoint', async () => {
    const { connector, choice, opened, balancer } = bench(['10.0.0.1'], () => ({ ok: true, leg }));
    const result = await connect(connector, choice);
    expect(opened).toEqual([
      expect.objectContaining({ address: '10.0.0.1', port: 80, identity, serverName: choice.serverName }),
    ]);
    if (!result.ok) throw new Error('it was reached');
    expect(result.reached.how).toBe('mutual');
    expect(active(balancer)).toBe(1);
    result.reached.release();
    expect(active(balancer)).toBe(0);
  });

  test('tries others when one does not answer, and leaves that one out afterwards', async () => {
    const bad = '10.0.0.1';
    const { connector, choice, opened } = bench([bad, '10.0.0.2', '10.0.0.3'], (address) =>
      address === bad ? failure() : { ok: true, leg },
    );
    for (let i = 0; i < 30; i += 1) expect((await connect(connector, choice)).ok).toBe(true);
    expect(opened.filter(({ address }) => address === bad).length).toBeLessThanOrEqual(1);
  });

  test('tries at most three', async () => {
    const { connector, choice, opened } = bench(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'], () => failure());
    const result = await connect(connector, choice);
    expect(result).toMatchObject({ ok: false, failure: { reason: 'upstream_unreachable' } });
    expect(opened.length).toBe(3);
    expect(new Set(opened.map(({ address }) => address)).size).toBe(3);
  });

  test('does not try others when the fault is its own', async () => {
    const own = failure({ reason: 'own_certificate_expired', fault: 'own' });
    const { connector, choice, opened, balancer } = bench(['10.0.0.1', '10.0.0.2'], () => own);
    expect(await connect(connector, choice)).toMatchObject({ failure: { reason: 'own_certificate_expired' } });
    expect(opened.length).toBe(1);
    expect(balancer.pick(0, new Set())?.failures).toBe(0);
  });

  test('says what was wrong with the last one', async () => {
    const wrong = failure({ reason: 'identity_mismatch' });
    const { connector, choice } = bench(['10.0.0.1'], () => wrong);
    expect(await connect(connector, choice)).toEqual({
      ok: false,
      failure: wrong,
      endpoint: expect.objectContaining({ address: '10.0.0.1' }),
    });
  });

  test('has nothing to try without endpoints', async () => {
    const { connector, choice } = bench([], () => failure());
    expect(await connect(connector, choice)).toMatchObject({
      ok: false,
      failure: { reason: 'upstream_unreachable', detail: 'the destination has no ready endpoint' },
      endpoint: undefined,
    });
  });
});
