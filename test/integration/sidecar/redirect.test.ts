// The redirect container's program in a real network namespace, with real traffic, IPv4 and IPv6. Needs root.
import { resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { env, PROXY_UID } from '../../../lib/api/contract.ts';
import { type Exclusions, redirectScript } from '../../../sidecar/redirect/rules.ts';
import { link, makeNetns, type Netns } from '../../support/capture/netns.ts';

const root = resolve(import.meta.dirname, '../../..');
const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
const POD = { v4: '10.66.0.2', v6: 'fd66::2' };
const PEER = { v4: '10.66.0.1', v6: 'fd66::1' };
const APP_UID = 1000;

jest.setTimeout(60_000);

let pod: Netns;
let peer: Netns;

const exclusions: Exclusions = {
  inboundPorts: [9090],
  outboundPorts: [3306],
  outboundCidrs: ['198.51.100.0/24', '2001:db8:1::/48'],
};

beforeAll(async () => {
  pod = makeNetns('pod');
  peer = makeNetns('peer');
  link([
    { netns: pod, ...POD },
    { netns: peer, ...PEER },
  ]);
  redirect(pod, {
    [env.excludeInboundPorts]: exclusions.inboundPorts.join(),
    [env.excludeOutboundPorts]: exclusions.outboundPorts.join(),
    [env.excludeOutboundCidrs]: exclusions.outboundCidrs.join(),
  });
  await Promise.all([
    // The proxy's ports; an application on 8080 (all addresses), 8081 (loopback only) and 9090 (excluded inbound); a peer.
    listen(pod, PROXY_UID, ['127.0.0.1:16001', '::1:16001', ':::16006', ':::16020']),
    listen(pod, APP_UID, [':::8080', '127.0.0.1:8081', '::1:8081', ':::9090', 'udp:0.0.0.0:5353']),
    listen(peer, 0, [':::80', ':::3306', 'reset::::82', 'udp::::53']),
  ]);
});

afterAll(async () => {
  await pod.remove();
  await peer.remove();
});

/** Runs the program as the redirect container does; returns what it logged. */
function redirect(
  netns: Netns,
  environment: Readonly<Record<string, string>> = {},
  prefix: readonly string[] = [],
): string {
  return netns.run([...prefix, ...node, `${root}/sidecar/redirect/main.ts`], { env: environment });
}

/** Loads other rules beside a running proxy. */
function load(changes: Partial<Exclusions> = {}): void {
  pod.run(['nft', '-f', '-'], { input: redirectScript(['ip', 'ip6'], { ...exclusions, ...changes }) });
}

async function listen(netns: Netns, uid: number, at: readonly string[]): Promise<void> {
  const role = netns === peer ? 'peer' : uid === PROXY_UID ? 'proxy' : 'app';
  const targets = at.map((each) => (/^(udp|reset)/.test(each) ? each : `tcp:${each}`));
  await netns.start([...node, `${root}/test/support/capture/listen.ts`, ...targets], { uid, env: { ROLE: role } });
}

function dial(
  netns: Netns,
  uid: number,
  targets: readonly string[],
  { timeoutMs = 10_000, from }: { readonly timeoutMs?: number; readonly from?: number } = {},
): readonly unknown[] {
  const full = targets.map((each) => (each.startsWith('udp') ? each : `tcp:${each}`));
  const command = [...node, `${root}/test/support/capture/dial.ts`, ...full];
  const environment = {
    DIAL_TIMEOUT_MS: String(timeoutMs),
    ...(from === undefined ? {} : { DIAL_FROM: String(from) }),
  };
  return JSON.parse(netns.run(command, { uid, env: environment })) as unknown[];
}

async function dialSoon(netns: Netns, uid: number, targets: readonly string[]): Promise<readonly unknown[]> {
  const command = [...node, `${root}/test/support/capture/dial.ts`, ...targets];
  return JSON.parse(await netns.runSoon(command, { uid })) as unknown[];
}

function immediately<T>(value: T): Promise<T> {
  return new Promise((done) => setImmediate(done, value));
}

describe('outbound', () => {
  test('every connection of the application arrives at 16001 and tells where it wanted to go', () => {
    expect(dial(pod, APP_UID, [`${PEER.v4}:80`, `${PEER.v6}:80`, `${PEER.v4}:81`, `::ffff:${PEER.v4}:80`])).toEqual([
      { at: 'proxy:16001', family: 4, original: `${PEER.v4} 80` },
      { at: 'proxy:16001', family: 6, original: `${PEER.v6} 80` },
      { at: 'proxy:16001', family: 4, original: `${PEER.v4} 81` },
      { at: 'proxy:16001', family: 4, original: `${PEER.v4} 80` },
    ]);
  });

  test('root in the pod is captured like anyone else', () => {
    expect(dial(pod, 0, [`${PEER.v4}:80`])).toEqual([{ at: 'proxy:16001', family: 4, original: `${PEER.v4} 80` }]);
  });

  test('the proxy itself goes straight out', () => {
    expect(dial(pod, PROXY_UID, [`${PEER.v4}:80`, `${PEER.v6}:80`])).toEqual([{ at: 'peer:80' }, { at: 'peer:80' }]);
  });

  test('loopback is left alone', () => {
    expect(dial(pod, APP_UID, ['127.0.0.1:8081', '::1:8081', '127.0.0.1:8080'])).toEqual([
      { at: 'app:8081' },
      { at: 'app:8081' },
      { at: 'app:8080' },
    ]);
  });

  test("a call to the pod's own address goes to the proxy, a call of the proxy to it goes to the application", () => {
    expect(dial(pod, APP_UID, [`${POD.v4}:8080`, `${POD.v6}:8080`])).toEqual([
      { at: 'proxy:16001', family: 4, original: `${POD.v4} 8080` },
      { at: 'proxy:16001', family: 6, original: `${POD.v6} 8080` },
    ]);
    expect(dial(pod, PROXY_UID, [`${POD.v4}:8080`, `${POD.v6}:8080`])).toEqual([
      { at: 'app:8080' },
      { at: 'app:8080' },
    ]);
  });

  test('excluded ports go straight out', () => {
    expect(dial(pod, APP_UID, [`${PEER.v4}:3306`, `${PEER.v6}:3306`])).toEqual([
      { at: 'peer:3306' },
      { at: 'peer:3306' },
    ]);
  });

  test('excluded networks go straight out', () => {
    load({ outboundCidrs: [PEER.v4, 'fd66::/64', '10.66.0.0/16'] });
    expect(dial(pod, APP_UID, [`${PEER.v4}:80`, `${PEER.v6}:80`])).toEqual([{ at: 'peer:80' }, { at: 'peer:80' }]);
    load();
  });

  test('UDP is not touched', () => {
    expect(dial(pod, APP_UID, [`udp:${PEER.v4}:53`, `udp:${PEER.v6}:53`])).toEqual([
      { at: 'peer:53' },
      { at: 'peer:53' },
    ]);
  });
});

describe('inbound', () => {
  test('every connection from outside arrives at 16006 and tells which port it wanted, also on a dual-stack listener', () => {
    expect(dial(peer, APP_UID, [`${POD.v4}:8080`, `${POD.v6}:8080`, `${POD.v4}:7`])).toEqual([
      { at: 'proxy:16006', family: 4, original: `${POD.v4} 8080` },
      { at: 'proxy:16006', family: 6, original: `${POD.v6} 8080` },
      { at: 'proxy:16006', family: 4, original: `${POD.v4} 7` },
    ]);
  });

  test("the proxy's own ports cannot be used to get past it", () => {
    expect(dial(peer, APP_UID, [`${POD.v4}:16001`, `${POD.v4}:16006`])).toEqual([
      { at: 'proxy:16006', family: 4, original: `${POD.v4} 16001` },
      { at: 'proxy:16006' },
    ]);
  });

  test('excluded ports and the admin port are reached as they are', () => {
    expect(dial(peer, APP_UID, [`${POD.v4}:9090`, `${POD.v6}:9090`, `${POD.v4}:16020`, `${POD.v6}:16020`])).toEqual([
      { at: 'app:9090' },
      { at: 'app:9090' },
      { at: 'proxy:16020' },
      { at: 'proxy:16020' },
    ]);
  });

  test('UDP is not touched', () => {
    expect(dial(peer, APP_UID, [`udp:${POD.v4}:5353`])).toEqual([{ at: 'app:5353' }]);
  });
});

describe('what would go round the capture', () => {
  afterEach(() => {
    pod.run(['nft', 'delete', 'table', 'ip', 'other']);
  });

  test('traffic that another program took out of connection tracking is dropped, not let through', () => {
    pod.run([
      'nft',
      'add table ip other; add chain ip other pre { type filter hook prerouting priority raw; }; add rule ip other pre tcp dport 8080 notrack; add chain ip other out { type filter hook output priority raw; }; add rule ip other out tcp dport 80 notrack',
    ]);
    expect(dial(peer, APP_UID, [`${POD.v4}:8080`], { timeoutMs: 700 })).toEqual(['timeout']);
    expect(dial(pod, APP_UID, [`${PEER.v4}:80`], { timeoutMs: 700 })).toEqual(['timeout']);
  });

  test('rules of another program at the standard priority come second', () => {
    pod.run([
      'nft',
      'add table ip other; add chain ip other out { type nat hook output priority -100; }; add rule ip other out tcp dport 80 redirect to :8080',
    ]);
    expect(dial(pod, APP_UID, [`${PEER.v4}:80`])).toEqual([
      { at: 'proxy:16001', family: 4, original: `${PEER.v4} 80` },
    ]);
  });
});

describe('a port on which a connection of the proxy was reset a moment ago', () => {
  test.each([PEER.v4, PEER.v6])('takes nothing of the application past the proxy to %s', (address) => {
    const target = [`${address}:82`];
    expect(dial(pod, PROXY_UID, target, { from: 40_001 })).toEqual(['ECONNRESET']);
    // Connection tracking remembers for ten seconds what became of it, and gives a further SYN of the same names to it.
    // On a machine that took longer than that it is captured like any other.
    const [reached] = dial(pod, APP_UID, target, { from: 40_001, timeoutMs: 700 });
    expect(JSON.stringify(reached)).toMatch(/timeout|proxy:16001/);
    expect(dial(pod, APP_UID, target, { from: 40_002 })).toMatchObject([{ at: 'proxy:16001' }]);
  });
});

describe('replacing the rules', () => {
  test('leaves no moment in which a connection gets past them', async () => {
    const dialing = Promise.all(
      Array.from({ length: 5 }, () => dialSoon(pod, APP_UID, Array<string>(150).fill(`tcp:${PEER.v4}:80`))),
    );
    let replaced = 0;
    const done = dialing.then(() => 'done');
    while ((await Promise.race([done, immediately('not yet')])) !== 'done') {
      load();
      replaced += 1;
    }
    const answers = (await dialing).flat().map((answer) => JSON.stringify(answer));
    expect(replaced).toBeGreaterThan(5);
    expect(answers).toHaveLength(750);
    expect([...new Set(answers)]).toEqual([
      JSON.stringify({ at: 'proxy:16001', family: 4, original: `${PEER.v4} 80` }),
    ]);
  }, 60_000);

  test('by the same ones changes nothing', () => {
    load();
    const before = pod.run(['nft', '-s', 'list', 'ruleset']);
    load();
    expect(pod.run(['nft', '-s', 'list', 'ruleset'])).toBe(before);
    expect(before.match(/redirect to/g)).toHaveLength(4);
  });
});

describe('the program', () => {
  let fresh: Netns;

  beforeEach(() => {
    fresh = makeNetns('fresh');
    fresh.run(['ip', 'link', 'add', 'eth0', 'type', 'bridge']);
    fresh.run(['ip', 'addr', 'add', '10.66.1.2/24', 'dev', 'eth0']);
    fresh.run(['ip', '-6', 'addr', 'add', 'fd66:1::2/64', 'dev', 'eth0', 'nodad']);
    fresh.run(['ip', 'link', 'set', 'eth0', 'up']);
  });

  afterEach(async () => {
    await fresh.remove();
  });

  /** The last line that a failing run logged. */
  function failure(environment: Readonly<Record<string, string>> = {}, prefix: readonly string[] = []): unknown {
    try {
      redirect(fresh, environment, prefix);
    } catch (error) {
      const { status, stdout } = error as { readonly status: number; readonly stdout: string };
      const { code, why } = JSON.parse(stdout) as { readonly code: string; readonly why: string };
      return { status, code, message: why };
    }
    throw new Error('the redirect was expected to fail');
  }

  test('proves both families, with an address that nobody has where there is a route, and may be run again', () => {
    fresh.run(['ip', 'route', 'add', 'default', 'via', '10.66.1.1']);
    for (const _attempt of [1, 2]) {
      expect(JSON.parse(redirect(fresh))).toMatchObject({
        level: 'info',
        msg: 'traffic is captured',
        proofs: [
          { family: 'ip', outcome: 'captured', target: '192.0.2.1' },
          { family: 'ip6', outcome: 'captured', target: 'fd66:1::2' },
        ],
      });
    }
  });

  test('in a pod without IPv6 addresses writes both tables and says that one could not be proved', () => {
    fresh.run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6']);
    expect(JSON.parse(redirect(fresh))).toMatchObject({
      proofs: [{ outcome: 'captured' }, { family: 'ip6', outcome: 'unprovable', why: 'no_address' }],
    });
    expect(fresh.run(['nft', 'list', 'tables'])).toBe('table ip tabard\ntable ip6 tabard\n');
  });

  test('with everything excluded says so', () => {
    expect(JSON.parse(redirect(fresh, { [env.excludeOutboundCidrs]: '0.0.0.0/0,::/0' }))).toMatchObject({
      proofs: [
        { outcome: 'unprovable', why: 'all_excluded' },
        { outcome: 'unprovable', why: 'all_excluded' },
      ],
    });
  });

  test('proves with a port that is not excluded', () => {
    expect(JSON.parse(redirect(fresh, { [env.excludeOutboundPorts]: '80,81' }))).toMatchObject({
      proofs: [{ outcome: 'captured' }, { outcome: 'captured' }],
    });
  });

  test('without NET_ADMIN fails and names it', () => {
    expect(failure({}, ['setpriv', '--bounding-set=-net_admin'])).toEqual({
      status: 1,
      code: 'redirect_failed',
      message: expect.stringContaining('NET_ADMIN'),
    });
  });

  test('in a pod without any address fails: there is nothing to prove the rules with', () => {
    fresh.run(['ip', 'link', 'del', 'eth0']);
    expect(failure()).toEqual({ status: 1, code: 'redirect_failed', message: expect.stringContaining('no address') });
  });

  test('with its port taken by another program fails and names the port', async () => {
    await listen(fresh, APP_UID, ['127.0.0.1:16001']);
    expect(failure()).toEqual({ status: 1, code: 'redirect_failed', message: expect.stringContaining('port 16001') });
  });

  test('fails when another program takes the traffic first', async () => {
    await listen(fresh, 0, ['127.0.0.1:9']);
    fresh.run([
      'nft',
      'add table ip other; add chain ip other out { type nat hook output priority -150; }; add rule ip other out meta l4proto tcp redirect to :9',
    ]);
    expect(failure()).toEqual({
      status: 1,
      code: 'redirect_failed',
      message: expect.stringMatching(/10\.66\.1\.2:80 did not arrive within/),
    });
  });

  test('reports every faulty setting at once', () => {
    expect(failure({ [env.excludeInboundPorts]: '99999', [env.excludeOutboundCidrs]: 'x' })).toEqual({
      status: 1,
      code: 'config_invalid',
      message: expect.stringMatching(/EXCLUDE_INBOUND_PORTS holds "99999".*EXCLUDE_OUTBOUND_CIDRS holds "x"/),
    });
  });
});
