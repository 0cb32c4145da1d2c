// Fields by OpenTelemetry's semantic conventions (general, HTTP, TLS, RPC); where they have no name, by the Elastic Common Schema, from which
// many of theirs come; where that has none either, by a plain word of our own. docs/logs.md has the table. Pure.
import { reasonHints } from '../../lib/api/reasons.ts';
import type { Exchange } from '../exchange.ts';
import { type Entry, hostOf, methodOf, type Names, pathOf } from './entry.ts';

/** OpenTelemetry's. */
export const otelNames: Names = {
  standing: (entry) => {
    const { direction, source, destination, endpoint, peer, tls, tunnel } = entry;
    const isInbound = direction === 'inbound';
    return {
      direction,
      'source.address': source?.address,
      'source.port': source?.port,
      'source.identity': isInbound ? peer?.identity : undefined,
      'client.address': tunnel?.application?.address,
      'client.port': tunnel?.application?.port,
      'destination.address': destination?.address,
      'destination.port': destination?.port,
      'destination.identity': isInbound ? undefined : peer?.identity,
      'network.peer.address': endpoint?.address,
      'network.peer.port': endpoint?.port,
      ...(tls === undefined && entry.established === undefined ? undefined : tlsFields(entry)),
      plain: entry.plain,
      tunnel: tunnel?.id,
      stream: tunnel?.stream,
    };
  },
  passing: (entry) => {
    const { exchange, reason, ms } = entry;
    return {
      ...(exchange === undefined ? undefined : httpFields(exchange)),
      'source.bytes': entry.bytesIn,
      'destination.bytes': entry.bytesOut,
      ms: ms === undefined ? undefined : rounded(ms),
      ending: entry.ending,
      ...(reason === undefined ? undefined : { reason, 'error.type': reason, hint: reasonHints[reason] }),
      detail: entry.detail,
      told: entry.told === true ? true : undefined,
      suppressed: entry.suppressed,
    };
  },
};

function httpFields(exchange: Exchange) {
  const { method, original } = methodOf(exchange.method);
  const { address, port } = hostOf(exchange.host);
  const { grpcStatus, trace } = exchange;
  return {
    'http.request.method': method,
    'http.request.method_original': original,
    'url.path': pathOf(exchange.target),
    'server.address': address,
    'server.port': port,
    'network.protocol.version': exchange.version,
    'http.response.status_code': exchange.status === 0 ? undefined : exchange.status,
    'rpc.grpc.status_code': grpcStatus,
    'http.request.size': exchange.bytesIn,
    'http.response.size': exchange.bytesOut,
    trace_id: trace?.traceId,
    span_id: trace?.spanId,
  };
}

function tlsFields({ direction, peer, tls, established = true }: Entry) {
  const [client, server] = direction === 'inbound' ? [peer?.serial, tls?.serial] : [tls?.serial, peer?.serial];
  return {
    'tls.established': established,
    'tls.protocol.version': tls?.version.replace('TLSv', ''),
    'tls.cipher': tls?.cipher,
    'tls.curve': tls?.group,
    'tls.resumed': tls?.resumed,
    'tls.next_protocol': tls?.alpn,
    'tls.started': tls?.started,
    'tls.client.x509.serial_number': client,
    'tls.server.x509.serial_number': server,
  };
}

/** Two places behind the point: tens of microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
