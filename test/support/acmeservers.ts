// ACME servers for tests, on loopback: pebble with its DNS server, and step-ca. Both are built from pinned modules when first asked for.
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
import { type Daemon, onFreePorts, startDaemon } from './daemon.ts';
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

/** A running pebble. */
export interface PebbleServer extends AcmeServer {
  /** URL of the port by which it is told what to do. */
  readonly management: string;
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
}

/** Starts pebble. It has the profiles `default` (90 d) and `shortlived` (6 d). */
export async function startPebble(options: PebbleOptions): Promise<PebbleServer> {
  const tools = await ensureTools(['pebble'], silentProgress());
  const folder = mkdtempSync(join(tmpdir(), 'tabard-pebble-'));
  const https = await httpsFiles(folder);
  return onFreePorts(2, async ([port = 0, managementPort = 0]) => {
    const config = join(folder, 'config.json');
    writeFileSync(config, JSON.stringify({ pebble: pebbleConfig(options, { ...https, port, managementPort }) }));
    const daemon = await startDaemon({
      program: tools.path('pebble'),
      args: ['-config', config, '-strict', '-dnsserver', options.dns],
      env: {
        PEBBLE_VA_NOSLEEP: '1',
        PEBBLE_WFE_NONCEREJECT: String(options.refusedNonces ?? 5),
        PEBBLE_CHAIN_LENGTH: String(options.chainLength ?? 1),
        // Every authorization has to be proved: a valid one that is used again would prove nothing here.
        PEBBLE_AUTHZREUSE: '0',
      },
      ready: () => listens(port),
    });
    return {
      server: `https://127.0.0.1:${port}/dir`,
      management: `https://127.0.0.1:${managementPort}`,
      trust: https.trust,
      output: daemon.output,
      stop: () => stopWith(daemon, folder),
    };
  });
}

function pebbleConfig(
  { httpPort, tlsPort, bindingKeys, blocked = [] }: PebbleOptions,
  https: { readonly certificate: string; readonly key: string; readonly port: number; readonly managementPort: number },
) {
  return {
    listenAddress: `127.0.0.1:${https.port}`,
    managementListenAddress: `127.0.0.1:${https.managementPort}`,
    certificate: https.certificate,
    privateKey: https.key,
    httpPort,
    tlsPort,
    ocspResponderURL: '',
    externalAccountBindingRequired: bindingKeys !== undefined,
    externalAccountMACKeys: bindingKeys ?? {},
    domainBlocklist: blocked,
    retryAfter: { authz: 1, order: 1 },
    keyAlgorithm: 'ecdsa',
    profiles: {
      default: { description: 'three months', validityPeriod: 7_776_000 },
      shortlived: { description: 'six days', validityPeriod: 518_400 },
    },
  };
}

/** Tells pebble something at its management port. */
export async function postManagement({ management, trust }: PebbleServer, path: string, body: unknown): Promise<void> {
  const outgoing = request(new URL(path, management), {
    method: 'POST',
    ca: trust,
    headers: { 'user-agent': 'tabard-test' },
  });
  outgoing.end(JSON.stringify(body));
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  const said = await text(answer);
  if (answer.statusCode !== 200) throw new Error(`pebble answered ${String(answer.statusCode)} to ${path}: ${said}`);
}

/** A DNS server that answers every question for an address with 127.0.0.1. */
export async function startDns(): Promise<Daemon & { readonly address: string }> {
  const tools = await ensureTools(['pebble'], silentProgress());
  return onFreePorts(2, async ([port = 0, managementPort = 0]) => {
    const daemon = await startDaemon({
      program: tools.path('pebble-challtestsrv'),
      args: [
        '-management',
        `127.0.0.1:${managementPort}`,
        '-dnsserver',
        `127.0.0.1:${port}`,
        '-defaultIPv4',
        '127.0.0.1',
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
      ],
      ready: () => listens(managementPort),
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

/** A certificate for https on 127.0.0.1, in files. */
async function httpsFiles(folder: string) {
  const authority = await testAuthority();
  const leaf = await testLeaf(authority, { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] });
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
