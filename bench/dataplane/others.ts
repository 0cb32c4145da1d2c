// HAProxy and nginx as pairs that carry TCP over mTLS. They check chains and, of the server, its DNS name: neither knows URI names.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ports } from '../../lib/api/contract.ts';
import { applicationPort, type Contestant, dnsNameOf, group, type Place, type Proxy, suite } from './contestant.ts';

const portOf = ({ role }: Place): number => (role === 'client' ? ports.outbound : ports.inbound);

function haproxyConfig(place: Place): string {
  const { role, tls, server, peerService } = place;
  const files = `crt ${tls}/pair.pem ca-file ${tls}/ca.crt verify required ciphersuites ${suite}`;
  const secure =
    role === 'client' ? `ssl ${files} sni str(${dnsNameOf(peerService)}) verifyhost ${dnsNameOf(peerService)}` : '';
  return `global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend captured
  bind 0.0.0.0:${portOf(place)} ${role === 'server' ? `ssl ${files} curves ${group} ssl-min-ver TLSv1.3` : ''}
  default_backend next
backend next
  server next ${server}:${applicationPort} ${secure}
`;
}

function haproxy(place: Place): Proxy {
  const file = join(place.scratch, 'haproxy.cfg');
  writeFileSync(file, haproxyConfig(place));
  const { command, args, env } = place.tools.haproxy;
  return { command, args: [...args, '-db', '-f', file], env, ready: { tcp: portOf(place) } };
}

function nginxTls({ role, tls, peerService }: Place): string {
  const prefix = role === 'client' ? 'proxy_ssl' : 'ssl';
  const common = `${prefix}_certificate ${tls}/tls.crt;
    ${prefix}_certificate_key ${tls}/tls.key;
    ${prefix}_protocols TLSv1.3;
    ${prefix}_conf_command Ciphersuites ${suite};
    ${prefix}_conf_command Groups ${group};`;
  return role === 'client'
    ? `proxy_ssl on;
    ${common}
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate ${tls}/ca.crt;
    proxy_ssl_server_name on;
    proxy_ssl_name ${dnsNameOf(peerService)};`
    : `${common}
    ssl_client_certificate ${tls}/ca.crt;
    ssl_verify_client on;`;
}

function nginxConfig(place: Place): string {
  const { role, scratch, server, tools } = place;
  return `load_module ${tools.nginxStream};
daemon off;
worker_processes 1;
worker_rlimit_nofile 9000;
pid ${scratch}/nginx.pid;
error_log stderr error;
events { worker_connections 8000; }
stream {
  server {
    listen 0.0.0.0:${portOf(place)} ${role === 'server' ? 'ssl' : ''} backlog=4096;
    proxy_pass ${server}:${applicationPort};
    proxy_timeout 1h;
    ${nginxTls(place)}
  }
}
`;
}

function nginx(place: Place): Proxy {
  const file = join(place.scratch, 'nginx.conf');
  writeFileSync(file, nginxConfig(place));
  const { command, args, env } = place.tools.nginx;
  const own = ['-p', place.scratch, '-c', file, '-e', 'stderr'];
  return { command, args: [...args, ...own], env, ready: { tcp: portOf(place) } };
}

/** Their pairs. */
export const otherPairs: readonly Contestant[] = [
  { name: 'HAProxy L4', layer: 'L4', proxy: haproxy },
  { name: 'nginx L4', layer: 'L4', proxy: nginx },
];
