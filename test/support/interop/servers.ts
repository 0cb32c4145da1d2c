// The servers of the interop tests: each asks its clients for a certificate, reads the mounted folder, and takes up new files in the way
// that its own documentation gives.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { InteropTools, Program } from '../../../hack/interop/tools.ts';
import { type Daemon, listening, onFreePorts, startDaemon } from '../daemon.ts';
import { envoyConfig, haproxyConfig, nginxConfig } from './configs.ts';
import { keystorePassword } from './secrets.ts';

/** A server at work. */
export interface Server {
  readonly port: number;
  /** Has it take up the files that the folder shows now; nothing where it does so by itself. */
  reload(): Promise<void>;
  stop(): Promise<void>;
  output(): string;
}

/** Where a server finds its files and may write its own. */
export interface Place {
  /** The certificate folder. */
  readonly tls: string;
  /** That of its client half, where it has one. */
  readonly client: string;
  readonly scratch: string;
}

/** One kind of server. */
export interface ServerKind {
  readonly name: string;
  /** How it takes up new files: a line of docs/interop.md. */
  readonly reloads: string;
  /** Files that it reads. */
  readonly reads: string;
  /** Service that it is, and so the folder that it gets. */
  readonly service: 'web' | 'mono';
  start(tools: InteropTools, place: Place): Promise<Server>;
}

const started = (program: Program, args: readonly string[], port: number): Promise<Daemon> =>
  startDaemon({
    program: program.command,
    args: [...program.args, ...args],
    env: { ...program.env, HOME: process.env['HOME'] ?? '/' },
    ready: listening(port),
  });

const onPort = <T>(start: (port: number) => Promise<T>): Promise<T> => onFreePorts(1, ([port = 0]) => start(port));

const nothing = (): Promise<void> => Promise.resolve();

const nginx: ServerKind = {
  name: 'nginx',
  reloads: 'told to: `nginx -s reload` (SIGHUP); connections in progress go on',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'web',
  start: ({ nginx: program }, { tls, scratch }) =>
    onPort(async (port) => {
      const config = join(scratch, 'nginx.conf');
      writeFileSync(config, nginxConfig({ port, tls, scratch }));
      const args = ['-p', scratch, '-c', config, '-e', 'stderr'];
      const daemon = await started(program, args, port);
      const signal = async (): Promise<void> => {
        process.kill(Number(readFileSync(join(scratch, 'nginx.pid'), 'utf8')), 'SIGHUP');
      };
      return { ...daemon, port, reload: signal };
    }),
};

const haproxy: ServerKind = {
  name: 'HAProxy',
  reloads: 'told to: a new process with `-sf <old pid>`, as its service unit does; connections in progress go on',
  reads: '`tls.crt` with `tls.key` beside it (`ssl-load-extra-del-ext`), `ca.crt`',
  service: 'web',
  start: ({ haproxy: program }, { tls, scratch }) =>
    onPort(async (port) => {
      const config = join(scratch, 'haproxy.cfg');
      writeFileSync(config, haproxyConfig({ port, tls }));
      let daemon = await started(program, ['-db', '-f', config], port);
      // The old process lets the port go to the new one and ends by itself; who stops it stops what is left of it, too.
      const all = [daemon];
      const reload = async (): Promise<void> => {
        daemon = await started(program, ['-db', '-f', config, '-sf', String(daemon.pid)], port);
        all.push(daemon);
      };
      const stop = async (): Promise<void> => {
        for (const each of all) await each.stop();
      };
      return { port, reload, stop, output: () => all.map((each) => each.output()).join('') };
    }),
};

const envoy: ServerKind = {
  name: 'Envoy',
  reloads: 'by itself: SDS secrets from files with `watched_directory`',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'web',
  start: ({ envoy: program }, { tls, scratch }) =>
    onPort(async (port) => {
      for (const [name, content] of Object.entries(envoyConfig({ port, tls, scratch })))
        writeFileSync(join(scratch, name), content);
      const args = ['-c', join(scratch, 'envoy.json'), '--concurrency', '1', '--disable-hot-restart', '-l', 'warn'];
      return { ...(await started(program, args, port)), port, reload: nothing };
    }),
};

const go: ServerKind = {
  name: 'Go crypto/tls',
  reloads: 'by itself: `GetConfigForClient` reads the folder when its `..data` link changed',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'web',
  start: ({ go: program }, { tls }) =>
    onPort(async (port) => ({
      ...(await started(program, ['serve', tls, `127.0.0.1:${port}`], port)),
      port,
      reload: nothing,
    })),
};

/** Properties of the Spring Boot application: a server with the PEM files, a client with the keystores. */
export function springProperties(port: number, { tls, client, scratch }: Place): readonly string[] {
  const keystore = (kind: string, file: string) => [
    `--spring.ssl.bundle.jks.client.${kind}.type=PKCS12`,
    `--spring.ssl.bundle.jks.client.${kind}.location=file:${join(client, file)}`,
    `--spring.ssl.bundle.jks.client.${kind}.password=${keystorePassword}`,
  ];
  return [
    '--spring.main.banner-mode=off',
    '--logging.level.root=warn',
    `--server.port=${port}`,
    '--server.address=127.0.0.1',
    '--server.ssl.bundle=server',
    '--server.ssl.client-auth=need',
    `--server.tomcat.basedir=${scratch}`,
    `--spring.ssl.bundle.pem.server.keystore.certificate=file:${join(tls, 'tls.crt')}`,
    `--spring.ssl.bundle.pem.server.keystore.private-key=file:${join(tls, 'tls.key')}`,
    `--spring.ssl.bundle.pem.server.truststore.certificate=file:${join(tls, 'ca.crt')}`,
    '--spring.ssl.bundle.pem.server.reload-on-update=true',
    ...keystore('keystore', 'keystore.p12'),
    ...keystore('truststore', 'truststore.p12'),
    '--spring.ssl.bundle.jks.client.reload-on-update=true',
    '--spring.ssl.bundle.watch.file.quiet-period=200ms',
  ];
}

const openssl: ServerKind = {
  name: 'OpenSSL s_server',
  reloads: 'only by a restart: it reads its files once',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'web',
  start: (_, { tls }) =>
    onPort(async (port) => {
      const program = { command: 'openssl', args: [], env: {} };
      const files = ['-cert', join(tls, 'tls.crt'), '-key', join(tls, 'tls.key'), '-CAfile', join(tls, 'ca.crt')];
      const args = [
        's_server',
        '-accept',
        `127.0.0.1:${port}`,
        ...files,
        '-Verify',
        '2',
        '-verify_return_error',
        '-www',
      ];
      let daemon = await started(program, args, port);
      const reload = async (): Promise<void> => {
        await daemon.stop();
        daemon = await started(program, args, port);
      };
      return { port, reload, stop: () => daemon.stop(), output: () => daemon.output() };
    }),
};

const mono: ServerKind = {
  name: 'Mono SslStream',
  reloads: 'by itself: reads the files for each connection',
  reads: '`tls.crt`, `tls.key`, `ca.crt`; an RSA key',
  service: 'mono',
  start: ({ mono: program }, { tls }) =>
    onPort(async (port) => ({
      ...(await started(program, ['serve', tls, String(port)], port)),
      port,
      reload: nothing,
    })),
};

/** Servers that are nothing else. Spring Boot's is in spring.ts. */
export const serverKinds: readonly ServerKind[] = [nginx, haproxy, envoy, go, mono, openssl];

/** Makes the folder of a place. */
export function scratchIn(folder: string, name: string): string {
  const scratch = join(folder, name.replaceAll(/\W/g, '').toLowerCase());
  mkdirSync(scratch, { recursive: true });
  return scratch;
}
