// Configuration files of the servers in the interop tests, as short as they can be: mutual TLS with the files of the mounted folder, and an
// answer that names the client's serial.

/** Where a server listens, and its folders. */
interface Settings {
  readonly port: number;
  readonly tls: string;
  readonly scratch: string;
}

/** One worker in the foreground. Started by root, workers stay root: the scratch folder is root's. */
export function nginxConfig({ port, tls, scratch }: Settings, where: 'here' | 'pod' = 'here'): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `${where === 'here' && process.geteuid?.() === 0 ? 'user root root;' : ''}
daemon off;
worker_processes 1;
pid ${scratch}/nginx.pid;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${scratch}/${name};`).join('\n  ')}
  server {
    listen ${where === 'here' ? `127.0.0.1:${port} ssl` : `[::]:${port} ssl ipv6only=off`};
    ssl_certificate ${tls}/tls.crt;
    ssl_certificate_key ${tls}/tls.key;
    ssl_client_certificate ${tls}/ca.crt;
    ssl_verify_client on;
    location / {
      # Without a certificate nginx answers 400 by itself, after the handshake.
      return 200 "hello $ssl_client_serial\\n";
    }
  }
}
`;
}

/** The key is found beside the certificate by taking ".crt" away. */
export function haproxyConfig({ port, tls }: Omit<Settings, 'scratch'>): string {
  return `global
  ssl-load-extra-del-ext
  ssl-load-extra-files key
  maxconn 100
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend tls
  bind 127.0.0.1:${port} ssl crt ${tls}/tls.crt ca-file ${tls}/ca.crt verify required
  http-request return status 200 content-type text/plain lf-string "hello %[ssl_c_serial,hex]\\n"
`;
}

/** The bootstrap and the two secrets, by file name. Envoy reads the files again when something is renamed in the watched folder. */
export function envoyConfig({ port, tls, scratch }: Settings): Readonly<Record<string, string>> {
  const type = (name: string) => `type.googleapis.com/envoy.${name}`;
  const watched = { watched_directory: { path: tls } };
  const secret = (name: string, content: object) =>
    JSON.stringify({
      resources: [{ '@type': type('extensions.transport_sockets.tls.v3.Secret'), name, ...content }],
    });
  const from = (name: string) => ({
    name,
    sds_config: { path_config_source: { path: `${scratch}/${name}.json` }, resource_api_version: 'V3' },
  });
  const tlsContext = {
    '@type': type('extensions.transport_sockets.tls.v3.DownstreamTlsContext'),
    require_client_certificate: true,
    common_tls_context: {
      tls_certificate_sds_secret_configs: [from('certificate')],
      validation_context_sds_secret_config: from('trust'),
    },
  };
  const answer = {
    match: { prefix: '/' },
    direct_response: { status: 200, body: { inline_string: 'hello\n' } },
    response_headers_to_add: [{ header: { key: 'x-client', value: '%DOWNSTREAM_PEER_SERIAL%' } }],
  };
  const manager = {
    '@type': type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'http',
    route_config: { virtual_hosts: [{ name: 'all', domains: ['*'], routes: [answer] }] },
    http_filters: [{ name: 'router', typed_config: { '@type': type('extensions.filters.http.router.v3.Router') } }],
  };
  const listener = {
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        transport_socket: { name: 'tls', typed_config: tlsContext },
        filters: [{ name: 'http', typed_config: manager }],
      },
    ],
  };
  const file = (name: string) => ({ filename: `${tls}/${name}` });
  return {
    'envoy.json': JSON.stringify({
      node: { id: 'interop', cluster: 'interop' },
      static_resources: { listeners: [listener] },
    }),
    'certificate.json': secret('certificate', {
      tls_certificate: { certificate_chain: file('tls.crt'), private_key: file('tls.key'), ...watched },
    }),
    'trust.json': secret('trust', { validation_context: { trusted_ca: file('ca.crt'), ...watched } }),
  };
}
