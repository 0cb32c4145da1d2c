// What applications are made of, as back ends of a gate: nginx, HAProxy, Envoy and Node itself, each in front of an origin. Each says in
// `x-area` in which area (areas.ts) its own reading of the path lies.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InteropTools, Program } from '../../../hack/interop/tools.ts';
import { listening, onFreePorts, startDaemon } from '../daemon.ts';
import { areas } from './areas.ts';
import { type Origin, startOrigin } from './origin.ts';

/** A back end at work. */
export interface Backend {
  readonly name: string;
  readonly port: number;
  readonly origin: Origin;
  stop(): Promise<void>;
}

interface Kind {
  readonly name: string;
  readonly program: (tools: InteropTools) => Program;
  readonly config: (at: { readonly port: number; readonly origin: number; readonly scratch: string }) => string;
  readonly args: (config: string, scratch: string) => readonly string[];
}

const named = Object.entries(areas);

function nginxAreas(pass: string): string {
  const lines = named.flatMap(([area, { prefix, exact }]) =>
    [prefix, `= ${exact}`].map((where) => `location ${where} { ${pass} add_header x-area ${area} always; }`),
  );
  return [`location / { ${pass} add_header x-area other always; }`, ...lines].join('\n    ');
}

const nginx: Kind = {
  name: 'nginx',
  program: (tools) => tools.nginx,
  args: (config, scratch) => ['-p', scratch, '-c', config, '-e', 'stderr'],
  config: ({ port, origin, scratch }) => `${process.geteuid?.() === 0 ? 'user root root;' : ''}
daemon off; worker_processes 1; pid ${scratch}/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${scratch}/${name};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_hide_header x-area;
    ${nginxAreas(`proxy_pass http://127.0.0.1:${origin};`)}
  }
}
`,
};

const haproxy: Kind = {
  name: 'HAProxy',
  program: (tools) => tools.haproxy,
  args: (config) => ['-db', '-f', config],
  // Of itself HAProxy compares the path as it was sent; it has this for those who decide by path.
  config: ({ port, origin }) => `global
  expose-experimental-directives
  maxconn 100
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend all
  bind 127.0.0.1:${port}
  http-request normalize-uri percent-decode-unreserved
  http-request set-var(txn.area) str(other)
${named.map(([area, { prefix, exact }]) => `  http-request set-var(txn.area) str(${area}) if { path_beg ${prefix} } || { path ${exact} }`).join('\n')}
  http-response set-header x-area %[var(txn.area)]
  use_backend origin
backend origin
  server origin 127.0.0.1:${origin}
`,
};

const envoy: Kind = {
  name: 'Envoy',
  program: (tools) => tools.envoy,
  args: (config) => ['-c', config, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'],
  config: ({ port, origin }) => {
    const type = (name: string) => `type.googleapis.com/envoy.${name}`;
    const route = (match: { readonly prefix: string } | { readonly path: string }, area: string) => ({
      match,
      route: { cluster: 'origin' },
      response_headers_to_add: [
        { header: { key: 'x-area', value: area }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
      ],
    });
    const routes = named.flatMap(([area, { prefix, exact }]) => [
      route({ prefix }, area),
      route({ path: exact }, area),
    ]);
    const manager = {
      '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
      stat_prefix: 'http',
      normalize_path: true,
      route_config: {
        virtual_hosts: [{ name: 'all', domains: ['*'], routes: [...routes, route({ prefix: '/' }, 'other')] }],
      },
      http_filters: [{ name: 'router', typed_config: { '@type': type('extensions.filters.http.router.v3.Router') } }],
    };
    const address = (at: number) => ({ socket_address: { address: '127.0.0.1', port_value: at } });
    const endpoint = { endpoint: { address: address(origin) } };
    const cluster = {
      name: 'origin',
      type: 'STATIC',
      load_assignment: { cluster_name: 'origin', endpoints: [{ lb_endpoints: [endpoint] }] },
    };
    const listener = {
      address: address(port),
      filter_chains: [{ filters: [{ name: 'http', typed_config: manager }] }],
    };
    return JSON.stringify({
      node: { id: 'backend', cluster: 'backend' },
      static_resources: { listeners: [listener], clusters: [cluster] },
    });
  },
};

/** Starts all four. Stop each. */
export async function startBackends(tools: InteropTools): Promise<readonly Backend[]> {
  const started: Backend[] = [];
  try {
    for (const kind of [nginx, haproxy, envoy]) started.push(await start(kind, tools));
    const origin = await startOrigin();
    started.push({ name: 'Node', port: origin.port, origin, stop: () => origin.stop() });
    return started;
  } catch (error) {
    for (const each of started) await each.stop();
    throw error;
  }
}

async function start({ name, program, config, args }: Kind, tools: InteropTools): Promise<Backend> {
  const scratch = mkdtempSync(join(tmpdir(), 'tabard-backend-'));
  const origin = await startOrigin();
  const { command, args: first, env } = program(tools);
  const file = join(scratch, 'config');
  return onFreePorts(1, async ([port = 0]) => {
    writeFileSync(file, config({ port, origin: origin.port, scratch }));
    const all = [...first, ...args(file, scratch)];
    const daemon = await startDaemon({
      program: command,
      args: all,
      env: { ...env, HOME: scratch },
      ready: listening(port),
    });
    const stop = async (): Promise<void> => {
      await daemon.stop();
      await origin.stop();
      rmSync(scratch, { recursive: true, force: true });
    };
    return { name, port, origin, stop };
  });
}
