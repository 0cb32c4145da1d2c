// ACME servers for tests, on loopback or inside an embedded cluster's network: pebble with its DNS server, and step-ca. Both are built from pinned modules when first asked for.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ensureTools } from '../../hack/cluster/build.ts';
import { silentProgress } from '../../hack/cluster/progress.ts';
import { createAuthority } from '../../lib/pki/ca.ts';
import { privateKeyPem } from '../../lib/pki/keys.ts';
import { type Daemon, type DaemonOptions, onFreePorts, startDaemon } from './daemon.ts';
import { DAY_MS, testAuthority, testLeaf } from './pki.ts';

/** A running ACME server. */
export interface AcmeServer {
  /** URL of the directory. */
  readonly server: string;
  /** PEM of the CA of its HTTPS certificate. */
  readonly trust: string;
  readonly output: () => string;
  stop(): Promise<void>;
}

/** A network namespace to run in, and an address of it. */
export interface Inside {
  readonly netns: string;
  readonly address: string;
}

/** A running pebble. */
export interface PebbleServer extends AcmeServer {
  /** URL of the port by which it is told what to do. */
  readonly management: string;
  /** Stops it; `up` starts it again at the same address, with another CA and without accounts. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** What pebble may be told. */
export interface PebbleOptions {
  /** Where it comes to look for http-01 and tls-alpn-01. */
  readonly httpPort: number;
  readonly tlsPort: number;
  /** `host:port` of the DNS server that it asks. */
  readonly dns: string;
  /** Percent of good nonces that it refuses. */
  readonly refusedNonces?: number;
  readonly bindingKeys?: Readonly<Record<string, string>>;
  readonly blocked?: readonly string[];
  readonly chainLength?: number;
  /** A further profile, `brief`, of this many seconds. */
  readonly briefSeconds?: number;
  /** Up to so many seconds it sleeps before it looks at a challenge. */
  readonly sleepSeconds?: number;
  /** What it asks for in Retry-After, seconds. */
  readonly retryAfterSeconds?: number;
  /** Where it runs and listens; loopback by default. */
  readonly inside?: Inside;
}

/** Starts pebble. It has the profiles `default` (90 d) and `shortlived` (6 d). */
export async function startPebble(options: PebbleOptions): Promise<PebbleServer> {
  const tools = await ensureTools(['pebble'], silentProgress());
  const folder = mkdtempSync(join(tmpdir(), 'tabard-pebble-'));
  const host = options.inside?.address ?? loopback;
  const https = await httpsFiles(folder, host);
  return onFreePorts(2, async ([port = 0, managementPort = 0]) => {
    const config = join(folder, 'config.json');
    writeFileSync(config, JSON.stringify({ pebble: pebbleConfig(options, { ...https, host, port, managementPort }) }));
    const program: DaemonOptions = {
      ...placed(options.inside, tools.path('pebble'), ['-config', config, '-strict', '-dnsserver', options.dns]),
      env: {
        ...(options.sleepSeconds === undefined
          ? { PEBBLE_VA_NOSLEEP: '1' }
          : { PEBBLE_VA_SLEEPTIME: String(options.sleepSeconds) }),
        PEBBLE_WFE_NONCEREJECT: String(options.refusedNonces ?? 5),
        PEBBLE_CHAIN_LENGTH: String(options.chainLength ?? 1),
        // Every authorization has to be proved: a valid one that is used again would prove nothing here.
        PEBBLE_AUTHZREUSE: '0',
      },
      ready: readiness(options.inside, port, /ACME directory available/),
    };
    let daemon = await startDaemon(program);
    return {
      server: `https://${host}:${port}/dir`,
      management: `https://${host}:${managementPort}`,
      trust: https.trust,
      output: () => daemon.output(),
      down: () => daemon.stop(),
      up: async () => {
        daemon = await startDaemon(program);
      },
      stop: () => stopWith(daemon, folder),
    };
  });
}

function pebbleConfig(
  { httpPort, tlsPort, bindingKeys, blocked = [], briefSeconds, retryAfterSeconds = 1 }: PebbleOptions,
  https: {
    readonly certificate: string;
    readonly key: string;
    readonly host: string;
    readonly port: number;
    readonly managementPort: number;
  },
) {
  return {
    listenAddress: `${https.host}:${https.port}`,
    managementListenAddress: `${https.host}:${https.managementPort}`,
    certificate: https.certificate,
    privateKey: https.key,
    httpPort,
    tlsPort,
    ocspResponderURL: '',
    externalAccountBindingRequired: bindingKeys !== undefined,
    externalAccountMACKeys: bindingKeys ?? {},
    domainBlocklist: blocked,
    retryAfter: { authz: retryAfterSeconds, order: retryAfterSeconds },
    keyAlgorithm: 'ecdsa',
    profiles: {
      default: { description: 'three months', validityPeriod: 7_776_000 },
      shortlived: { description: 'six days', validityPeriod: 518_400 },
      ...(briefSeconds === undefined ? {} : { brief: { description: 'minutes', validityPeriod: briefSeconds } }),
    },
  };
}

/** Tells pebble something at its management port. */
export async function postManagement(pebble: PebbleServer, path: string, body: unknown): Promise<void> {
  await askManagement(pebble, path, body);
}

/** Whether pebble says that a certificate is revoked, and for which reason (RFC 5280 code). */
export async function revocationAt(
  pebble: PebbleServer,
  serial: string,
): Promise<{ readonly Status: string; readonly Reason?: number }> {
  const said = await askManagement(pebble, `/cert-status-by-serial/${serial.toLowerCase().replace(/^0+/, '')}`);
  return JSON.parse(said) as { readonly Status: string; readonly Reason?: number };
}

async function askManagement({ management, trust }: PebbleServer, path: string, body?: unknown): Promise<string> {
  const outgoing = request(new URL(path, management), {
    method: body === undefined ? 'GET' : 'POST',
    ca: trust,
    headers: { 'user-agent': 'tabard-test' },
  });
  outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  const said = await text(answer);
  if (answer.statusCode !== 200) throw new Error(`pebble answered ${String(answer.statusCode)} to ${path}: ${said}`);
  return said;
}

/** A DNS server that answers every question for an address with this one, 127.0.0.1 by default. */
export async function startDns({
  answer = loopback,
  inside,
}: {
  readonly answer?: string;
  readonly inside?: Inside;
} = {}): Promise<Daemon & { readonly address: string }> {
  const tools = await ensureTools(['pebble'], silentProgress());
  return onFreePorts(2, async ([port = 0, managementPort = 0]) => {
    const daemon = await startDaemon({
      ...placed(inside, tools.path('pebble-challtestsrv'), [
        '-management',
        `127.0.0.1:${managementPort}`,
        '-dnsserver',
        `127.0.0.1:${port}`,
        '-defaultIPv4',
        answer,
        '-defaultIPv6',
        '',
        '-http01',
        '',
        '-https01',
        '',
        '-tlsalpn01',
        '',
        '-doh',
        '',
      ]),
      ready: readiness(inside, managementPort, /management server listening|Starting management server/i),
    });
    return { ...daemon, address: `127.0.0.1:${port}` };
  });
}

/** Starts step-ca with one ACME provisioner. It comes to look for challenges at the ports given. */
export async function startStepCa(options: {
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly dns: string;
}): Promise<AcmeServer> {
  const tools = await ensureTools(['stepca'], silentProgress());
  const folder = mkdtempSync(join(tmpdir(), 'tabard-step-ca-'));
  const authority = await createAuthority({ trustDomain: 'cluster.local', lifetimeMs: 10 * DAY_MS, now: new Date() });
  writeFileSync(join(folder, 'ca.crt'), authority.certificate);
  writeFileSync(join(folder, 'ca.key'), privateKeyPem(authority.privateKey));
  return onFreePorts(1, async ([port = 0]) => {
    const config = {
      root: join(folder, 'ca.crt'),
      crt: join(folder, 'ca.crt'),
      key: join(folder, 'ca.key'),
      address: `127.0.0.1:${port}`,
      dnsNames: ['127.0.0.1', 'localhost'],
      db: { type: 'badgerv2', dataSource: join(folder, 'db') },
      logger: { format: 'text' },
      authority: { provisioners: [{ type: 'ACME', name: 'acme', challenges: ['http-01', 'tls-alpn-01', 'dns-01'] }] },
    };
    writeFileSync(join(folder, 'ca.json'), JSON.stringify(config));
    const { httpPort, tlsPort, dns } = options;
    const daemon = await startDaemon({
      program: tools.path('step-ca'),
      args: [
        '--insecure',
        `--acme-http-port=${httpPort}`,
        `--acme-tls-port=${tlsPort}`,
        `--resolver=${dns}`,
        join(folder, 'ca.json'),
      ],
      env: { STEPPATH: folder, HOME: folder },
      ready: () => listens(port),
    });
    return {
      server: `https://127.0.0.1:${port}/acme/acme/directory`,
      trust: authority.certificate,
      output: daemon.output,
      stop: () => stopWith(daemon, folder),
    };
  });
}

const loopback = '127.0.0.1';

/** How a program is started here or in another network. */
function placed(inside: Inside | undefined, program: string, args: readonly string[]) {
  return inside === undefined
    ? { program, args }
    : { program: 'nsenter', args: [`--net=${inside.netns}`, program, ...args] };
}

/** Whether it is up: by its port, or, where that cannot be reached from here, by what it says. */
function readiness(inside: Inside | undefined, port: number, said: RegExp): (output: () => string) => Promise<boolean> {
  return async (output) => (inside === undefined ? listens(port) : said.test(output()));
}

/** A certificate for https on an address, in files. */
async function httpsFiles(folder: string, host: string) {
  const authority = await testAuthority();
  const leaf = await testLeaf(authority, { dnsNames: ['localhost'], ipAddresses: [host] });
  const [certificate, key] = [join(folder, 'https.crt'), join(folder, 'https.key')];
  writeFileSync(certificate, leaf.certificate);
  writeFileSync(key, leaf.key);
  return { certificate, key, trust: authority.certificate };
}

async function stopWith(daemon: Daemon, folder: string): Promise<void> {
  await daemon.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Whether somebody accepts connections at a port of loopback. */
export function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('connect', () => resolve(true));
  socket.on('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}
