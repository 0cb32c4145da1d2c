// The clients of the interop tests. Each calls a server under its name in the mesh, checks it against the mounted trust bundle, and
// shows the mounted certificate. What runs on takes up new files by itself; what is started for each call reads them each time.
import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { tryRun } from '../../../hack/cluster/run.ts';
import type { InteropTools, Program } from '../../../hack/interop/tools.ts';
import { spiffeId } from '../../../lib/api/contract.ts';
import { messageOf } from '../../../lib/errors.ts';
import { LineClient } from './lines.ts';
import { shown } from './projected.ts';

/** A client at work. */
export interface Client {
  /** Makes one request: `ok <server's serial or -> <status>`, or `error …`. */
  call(host: string, port: number): Promise<string>;
  stop(): Promise<void>;
}

/** One kind of client. */
export interface ClientKind {
  readonly name: string;
  /** How it takes up new files: a line of docs/interop.md. */
  readonly reloads: string;
  readonly reads: string;
  readonly service: 'caller' | 'mono';
  start(tools: InteropTools, folder: string): Promise<Client>;
}

/** What a client shows and trusts, PEM. */
export interface Credentials {
  readonly cert?: string;
  readonly key?: string;
  readonly ca: string;
}

const callMs = 30_000;

/** One request by Node's TLS with the check that a sidecar makes: the chain, and exactly this identity. */
export function nodeCall(credentials: Credentials, host: string, port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const [service = '', namespace = ''] = host.split('.');
  const expected = `URI:${spiffeId('cluster.local', namespace, service)}`;
  let serial = '-';
  const sent = request({
    host: '127.0.0.1',
    port,
    servername: host,
    headers: { host },
    agent: false,
    ...credentials,
    minVersion: 'TLSv1.2',
    checkServerIdentity: (_, certificate) => {
      const leaf = new X509Certificate(certificate.raw);
      serial = leaf.serialNumber.replace(/^0+/, '');
      const names = (leaf.subjectAltName ?? '').split(', ');
      return names.includes(expected) ? undefined : new Error(`${host} is ${names.join()}`);
    },
    timeout: callMs,
  });
  sent.on('timeout', () => sent.destroy(new Error('no answer')));
  sent.on('error', (error) => resolve(`error ${messageOf(error)}`));
  sent.on('response', (response) => {
    response.on('error', (error) => resolve(`error ${messageOf(error)}`));
    response.resume().on('end', () => {
      const status = response.statusCode ?? 0;
      resolve(status === 200 ? `ok ${serial} ${status}` : `error status ${status}`);
    });
  });
  sent.on('socket', (socket) => (socket as TLSSocket).on('error', (error) => resolve(`error ${messageOf(error)}`)));
  sent.end();
  return promise;
}

/** What a folder shows now. */
export function credentialsIn(folder: string): Required<Credentials> {
  return { cert: shown(folder, 'tls.crt'), key: shown(folder, 'tls.key'), ca: shown(folder, 'ca.crt') };
}

const node: ClientKind = {
  name: 'Node.js tls, as the sidecar checks',
  reloads: 'reads the files for each connection',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'caller',
  start: (_, folder) =>
    Promise.resolve({
      call: (host, port) => nodeCall(credentialsIn(folder), host, port),
      stop: () => Promise.resolve(),
    }),
};

/** A client that is a program of its own for each call. */
const perCall = (
  name: string,
  run: (folder: string, host: string, port: number) => { readonly args: readonly string[]; readonly input?: string },
  worked: (stdout: string) => boolean,
): ClientKind => ({
  name,
  reloads: 'reads the files each time it is started',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'caller',
  start: (_, folder) =>
    Promise.resolve({
      call: async (host, port) => {
        const { args, input } = run(folder, host, port);
        const { code, stdout, stderr } = await tryRun(args[0] ?? '', args.slice(1), { input, timeoutMs: callMs });
        return code === 0 && worked(stdout) ? 'ok - 200' : `error ${code}: ${stderr.slice(-500)}${stdout.slice(-200)}`;
      },
      stop: () => Promise.resolve(),
    }),
});

/** Arguments of a command line; none of ours has a blank in it. */
const words = (text: string): readonly string[] => text.trim().split(/\s+/);

const curl = perCall(
  'curl',
  (folder, host, port) => ({
    args: words(`curl -sS --max-time 20 --noproxy * -o /dev/null -w %{http_code} --resolve ${host}:${port}:127.0.0.1
      --cacert ${folder}/ca.crt --cert ${folder}/tls.crt --key ${folder}/tls.key https://${host}:${port}/`),
  }),
  (stdout) => stdout === '200',
);

const openssl = perCall(
  'OpenSSL s_client',
  (folder, host, port) => ({
    args: words(`openssl s_client -quiet -connect 127.0.0.1:${port} -servername ${host}
      -verify_hostname ${host} -verify_return_error -x509_strict -ignore_unexpected_eof -CAfile ${folder}/ca.crt
      -cert ${folder}/tls.crt -key ${folder}/tls.key`),
    input: `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
  }),
  (stdout) => /^HTTP\/1\.[01] 200/.test(stdout),
);

/** A client that runs on, on lines. */
export const running = (program: Program, args: readonly string[]): Client => {
  const client = new LineClient(program, args);
  return { call: (host, port) => client.call(host, port), stop: () => client.stop() };
};

const go: ClientKind = {
  name: 'Go net/http',
  reloads: 'by itself: reads the folder when its `..data` link changed',
  reads: '`tls.crt`, `tls.key`, `ca.crt`',
  service: 'caller',
  start: (tools, folder) => Promise.resolve(running(tools.go, ['call', folder])),
};

const mono: ClientKind = {
  name: 'Mono SslStream',
  reloads: 'reads the files for each connection',
  reads: '`tls.crt`, `tls.key`, `ca.crt`; an RSA key',
  service: 'mono',
  start: (tools, folder) => Promise.resolve(running(tools.mono, ['call', folder])),
};

/** Clients that are nothing else. OkHttp is in spring.ts. */
export const clientKinds: readonly ClientKind[] = [node, curl, openssl, go, mono];
