// Envoy's pairs: L4 (tcp_proxy on both sides), L7 (HTTP on both sides, RBAC by path at the server) and its own tunnel (CONNECT streams of
// HTTP/2 over mTLS). Both sides check the other's SPIFFE identity. One worker thread each; limits high enough to be none.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ports } from '../../lib/api/contract.ts';
import {
  applicationPort,
  type Contestant,
  dnsNameOf,
  group,
  identityOf,
  type Place,
  type Proxy,
  requestsAlone,
} from './contestant.ts';

type Json = Readonly<Record<string, unknown>>;

const ADMIN_PORT = 15_000;
const type = (name: string): string => `type.googleapis.com/envoy.${name}`;
const typed = (name: string, of: string, content: Json): Json => ({
  name,
  typed_config: { '@type': type(of), ...content },
});
const address = (host: string, port: number): Json => ({ socket_address: { address: host, port_value: port } });

function tls({ tls: folder, peerService, role }: Place, alpn: readonly string[]): Json {
  const file = (name: string): Json => ({ filename: join(folder, name) });
  const common = {
    tls_params: {
      tls_minimum_protocol_version: 'TLSv1_3',
      tls_maximum_protocol_version: 'TLSv1_3',
      ecdh_curves: [group],
    },
    tls_certificates: [{ certificate_chain: file('tls.crt'), private_key: file('tls.key') }],
    validation_context: {
      trusted_ca: file('ca.crt'),
      match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: identityOf(peerService) } }],
    },
    ...(alpn.length === 0 ? {} : { alpn_protocols: alpn }),
  };
  const base = 'extensions.transport_sockets.tls.v3';
  return role === 'client'
    ? typed('tls', `${base}.UpstreamTlsContext`, { sni: dnsNameOf(peerService), common_tls_context: common })
    : typed('tls', `${base}.DownstreamTlsContext`, { require_client_certificate: true, common_tls_context: common });
}

function cluster(place: Place, more: Json): Json {
  const none = { max_connections: 1e6, max_pending_requests: 1e6, max_requests: 1e6 };
  const endpoint = { endpoint: { address: address(place.server, applicationPort) } };
  return {
    name: 'next',
    type: 'STATIC',
    connect_timeout: '10s',
    circuit_breakers: { thresholds: [none] },
    load_assignment: { cluster_name: 'next', endpoints: [{ lb_endpoints: [endpoint] }] },
    ...more,
  };
}

const upstreamHttp = (content: Json): Json => ({
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': type('extensions.upstreams.http.v3.HttpProtocolOptions'),
      ...content,
    },
  },
});

const router = typed('router', 'extensions.filters.http.router.v3.Router', {});

function manager(route: Json, filters: readonly Json[], more: Json = {}): Json {
  return typed('http', 'extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', {
    stat_prefix: 'http',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
    http_filters: [...filters, router],
    ...more,
  });
}

const tcp = (more: Json = {}): Json =>
  typed('tcp', 'extensions.filters.network.tcp_proxy.v3.TcpProxy', { stat_prefix: 'tcp', cluster: 'next', ...more });

/** Two rules by path, as a policy would have them. */
const rbac = typed('rbac', 'extensions.filters.http.rbac.v3.RBAC', {
  rules: {
    action: 'ALLOW',
    policies: Object.fromEntries(
      ['/bulk/', '/'].map((prefix) => [
        prefix,
        { permissions: [{ url_path: { path: { prefix } } }], principals: [{ any: true }] },
      ]),
    ),
  },
});

/** What one side of a pair is made of. */
interface Side {
  readonly filter: Json;
  readonly upstream: Json;
  readonly alpn: readonly string[];
}

function l4(): Side {
  return { filter: tcp(), upstream: {}, alpn: [] };
}

function l7({ role }: Place, more: Json = {}): Side {
  const protocols = { use_downstream_protocol_config: { http2_protocol_options: {} } };
  const route = { match: { prefix: '/' }, route: { cluster: 'next', timeout: '0s' } };
  return { filter: manager(route, role === 'server' ? [rbac] : [], more), upstream: upstreamHttp(protocols), alpn: [] };
}

/** A line for each request on the server's side, where Tabard has it, with what Tabard's says as far as Envoy knows it. */
function l7Logged(place: Place): Side {
  if (place.role === 'client') return l7(place);
  const fields = {
    time: '%START_TIME%',
    'source.address': '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%',
    'source.port': '%DOWNSTREAM_REMOTE_PORT%',
    'source.identity': '%DOWNSTREAM_PEER_URI_SAN%',
    'destination.address': '%DOWNSTREAM_LOCAL_ADDRESS%',
    'tls.protocol.version': '%DOWNSTREAM_TLS_VERSION%',
    'tls.cipher': '%DOWNSTREAM_TLS_CIPHER%',
    'tls.client.x509.serial_number': '%DOWNSTREAM_PEER_SERIAL%',
    'http.request.method': '%REQ(:METHOD)%',
    'url.path': '%PATH(NQ)%',
    'server.address': '%REQ(:AUTHORITY)%',
    'network.protocol.version': '%PROTOCOL%',
    'http.response.status_code': '%RESPONSE_CODE%',
    'http.request.size': '%BYTES_RECEIVED%',
    'http.response.size': '%BYTES_SENT%',
    ms: '%DURATION%',
    reason: '%RESPONSE_FLAGS%',
  };
  const file = typed('file', 'extensions.access_loggers.file.v3.FileAccessLog', {
    path: join(place.scratch, 'access.log'),
    log_format: { json_format: fields },
  });
  return l7(place, { access_log: [file] });
}

function tunnel({ role, server }: Place): Side {
  const http2 = upstreamHttp({ explicit_http_config: { http2_protocol_options: {} } });
  if (role === 'client') {
    const hostname = `${server}:${applicationPort}`;
    return { filter: tcp({ tunneling_config: { hostname } }), upstream: http2, alpn: ['h2'] };
  }
  const connect = { upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] };
  const route = { match: { connect_matcher: {} }, route: { cluster: 'next', timeout: '0s', ...connect } };
  const options = { codec_type: 'HTTP2', http2_protocol_options: { allow_connect: true } };
  const filter = manager(route, [], { ...options, upgrade_configs: [{ upgrade_type: 'CONNECT' }] });
  return { filter, upstream: {}, alpn: ['h2'] };
}

function proxy(place: Place, { filter, upstream, alpn }: Side): Proxy {
  const { role, scratch, tools } = place;
  const secure = { transport_socket: tls(place, alpn) };
  const listener = {
    name: 'captured',
    address: address('0.0.0.0', role === 'client' ? ports.outbound : ports.inbound),
    filter_chains: [{ filters: [filter], ...(role === 'server' ? secure : {}) }],
  };
  const config = {
    node: { id: place.podName, cluster: 'bench' },
    admin: { address: address('0.0.0.0', ADMIN_PORT) },
    static_resources: {
      listeners: [listener],
      clusters: [cluster(place, { ...upstream, ...(role === 'client' ? secure : {}) })],
    },
  };
  const file = join(scratch, 'envoy.json');
  writeFileSync(file, JSON.stringify(config));
  const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'warn'];
  return {
    command: tools.envoy.command,
    args: [...tools.envoy.args, ...args],
    ready: { http: `http://${place.address}:${ADMIN_PORT}/ready` },
  };
}

const pair = (
  name: string,
  layer: Contestant['layer'],
  side: (place: Place) => Side,
  lacks: Contestant['lacks'] = [],
): Contestant => ({
  name,
  layer,
  lacks,
  proxy: (place) => proxy(place, side(place)),
});

/** Envoy's pairs. */
export const envoyPairs: readonly Contestant[] = [
  pair('Envoy L4', 'L4', l4),
  pair('Envoy tunnel', 'L4', tunnel, ['handshake']),
  pair('Envoy L7', 'L7', (place) => l7(place)),
  pair('Envoy L7 log', 'L7', l7Logged, requestsAlone),
];
