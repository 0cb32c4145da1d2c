// What a contestant is: how its two proxies are started, and what can be asked of it. Every one has the same certificates and listens
// where Tabard's capture leads connections; only how they get from one proxy to the other is its own.
import type { ProxyTools } from '../../hack/interop/proxies.ts';
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { Command } from './program.ts';

/** The one suite and group that all of them can be held to: BoringSSL lets nobody choose a suite of TLS 1.3, and OpenSSL 3.0 has no ML-KEM. */
export const suite = 'TLS_AES_128_GCM_SHA256';
export const group = 'X25519';

/** Port of the application in every server pod. */
export const applicationPort = 8080;

/** One proxy's surroundings. */
export interface Place {
  readonly role: 'client' | 'server';
  /** Address of its pod, and of the server's: the client dials it, the server's application is there. */
  readonly address: string;
  readonly server: string;
  /** The service that it is, and the one at the other end. */
  readonly service: string;
  readonly peerService: string;
  readonly podName: string;
  /** Folder with tls.crt, tls.key, ca.crt, and both of the first in pair.pem. */
  readonly tls: string;
  /** It may write here. */
  readonly scratch: string;
  readonly tools: ProxyTools;
  /** Bundle of the sidecar, more options of Node for it, and where the control API is. */
  readonly sidecar: string;
  readonly nodeOptions: readonly string[];
  readonly control: string;
}

/** One proxy. */
export interface Proxy extends Command {
  /** What says that it can be used; a port of the pod's address, or a URL of it. */
  readonly ready: { readonly tcp: number } | { readonly http: string };
}

/** One pair in the benchmark. */
export interface Contestant {
  readonly name: string;
  /** Layer at which both proxies look at the bytes. */
  readonly layer: 'none' | 'L4' | 'L7';
  /** Of Tabard's: what its policy has beside the defaults. */
  readonly policy?: Partial<EffectivePolicy>;
  /** Undefined: nothing stands between. */
  readonly proxy?: (place: Place) => Proxy;
  /** Shapes of load that it cannot carry (clients of TLS at the server's proxy without an application protocol, HTTP/2), or that say nothing of it. */
  readonly lacks?: readonly ('handshake' | 'streams' | 'connect' | 'bulk')[];
}

/** What a pair lacks that is there for what a request costs, and no more. */
export const requestsAlone: NonNullable<Contestant['lacks']> = ['handshake', 'streams', 'connect', 'bulk'];

/** SPIFFE identity of a service of the benchmark. */
export function identityOf(service: string): string {
  return `spiffe://cluster.local/ns/shop/svc/${service}`;
}

/** A DNS name that a service's certificate has. */
export function dnsNameOf(service: string): string {
  return `${service}.shop.svc`;
}
