// Fields by the Elastic Common Schema (8.17); what it has no name for stands below `tabard`. docs/logs.md has the table. Pure.
import { reasonHints } from '../../lib/api/reasons.ts';
import type { Exchange } from '../exchange.ts';
import { type Entry, hostOf, methodOf, type Names, pathOf } from './entry.ts';

/** The Elastic Common Schema's. */
export const ecsNames: Names = {
  standing: (entry) => {
    const { direction, source, destination, endpoint, tls, tunnel } = entry;
    return {
      'network.direction': direction,
      'source.ip': source?.address,
      'source.port': source?.port,
      'client.ip': tunnel?.application?.address,
      'client.port': tunnel?.application?.port,
      'destination.ip': destination?.address,
      'destination.port': destination?.port,
      'destination.nat.ip': endpoint?.address,
      'destination.nat.port': endpoint?.port,
      ...(tls === undefined && entry.established === undefined ? undefined : tlsFields(entry)),
      'tabard.plain': entry.plain,
      'tabard.tunnel': tunnel?.id,
      'tabard.stream': tunnel?.stream,
    };
  },
  passing: (entry) => {
    const { exchange, reason, ms } = entry;
    return {
      'event.outcome': reason === undefined ? 'success' : 'failure',
      ...(exchange === undefined ? undefined : httpFields(exchange)),
      'source.bytes': entry.bytesIn,
      'destination.bytes': entry.bytesOut,
      'event.duration': ms === undefined ? undefined : Math.round(ms * 1e6),
      'tabard.ending': entry.ending,
      ...(reason === undefined ? undefined : { 'error.code': reason, 'error.message': reasonHints[reason] }),
      'tabard.detail': entry.detail,
      'tabard.told': entry.told === true ? true : undefined,
      'tabard.suppressed': entry.suppressed,
    };
  },
};

function httpFields(exchange: Exchange) {
  const { method, original } = methodOf(exchange.method);
  const { address, port } = hostOf(exchange.host);
  const { grpcStatus, trace } = exchange;
  return {
    'http.request.method': original ?? method,
    'url.path': pathOf(exchange.target),
    'url.domain': address,
    'url.port': port,
    'http.version': exchange.version,
    'http.response.status_code': exchange.status === 0 ? undefined : exchange.status,
    'tabard.grpc_status': grpcStatus,
    'http.request.bytes': exchange.bytesIn,
    'http.response.bytes': exchange.bytesOut,
    'trace.id': trace?.traceId,
    'span.id': trace?.spanId,
  };
}

function tlsFields({ direction, peer, tls, established = true }: Entry) {
  const isInbound = direction === 'inbound';
  const names = peer === undefined ? undefined : [peer.identity];
  return {
    'tls.established': established,
    'tls.version_protocol': 'tls',
    'tls.version': tls?.version.replace('TLSv', ''),
    'tls.cipher': tls?.cipher,
    'tls.curve': tls?.group,
    'tls.resumed': tls?.resumed,
    'tls.next_protocol': tls?.alpn,
    'tabard.tls_started': tls?.started,
    'tls.client.x509.alternative_names': isInbound ? names : undefined,
    'tls.server.x509.alternative_names': isInbound ? undefined : names,
    'tls.client.x509.serial_number': isInbound ? peer?.serial : tls?.serial,
    'tls.server.x509.serial_number': isInbound ? tls?.serial : peer?.serial,
  };
}
