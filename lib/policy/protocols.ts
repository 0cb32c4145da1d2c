// What a pod's ports speak, by the appProtocol of the Services in front of them. Pure.
import type { Protocol } from '../api/tlspolicy.ts';

/** The members of a core/v1 Service that matter here. */
export interface ServicePorts {
  readonly spec?: {
    readonly ports?: readonly {
      readonly port: number;
      readonly targetPort?: number | string;
      readonly appProtocol?: string;
      readonly protocol?: string;
    }[];
  };
}

interface Container {
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
}

/** The members of a core/v1 Pod that matter here. */
export interface PodPorts {
  readonly spec?: { readonly containers: readonly Container[]; readonly initContainers?: readonly Container[] };
}

/** A container port and what is spoken on it. */
export interface PortProtocol {
  readonly port: number;
  readonly protocol: Protocol;
}

/**
 * Known values of appProtocol (KEP-3726 and the IANA names in use). `https`, `tls` and `wss` are deliberately not
 * Passthrough: a word on a Service must not take the mesh's protection off a port; a TLSPolicy can.
 */
const known: Readonly<Record<string, Protocol>> = {
  http: 'HTTP',
  'kubernetes.io/ws': 'HTTP',
  http2: 'HTTP2',
  h2c: 'HTTP2',
  'kubernetes.io/h2c': 'HTTP2',
  grpc: 'GRPC',
};

/**
 * The protocols that `services`, all of which select the pod, give to its container ports. Ports without one are left out; where two
 * Services disagree the port is TCP, which carries either.
 */
export function portProtocols(services: readonly ServicePorts[], pod: PodPorts): readonly PortProtocol[] {
  const named = portNames(pod);
  const found = new Map<number, Protocol>();
  for (const { port, targetPort = port, appProtocol, protocol = 'TCP' } of services.flatMap(
    (each) => each.spec?.ports ?? [],
  )) {
    const target = typeof targetPort === 'number' ? targetPort : named.get(targetPort);
    if (target === undefined || protocol !== 'TCP' || appProtocol === undefined) continue;
    const said = known[appProtocol.toLowerCase()] ?? 'TCP';
    const before = found.get(target);
    found.set(target, before === undefined || before === said ? said : 'TCP');
  }
  return [...found].sort(([a], [b]) => a - b).map(([port, protocol]) => ({ port, protocol }));
}

/** Container ports by name, of ordinary containers and of those that run beside them from the start. */
function portNames(pod: PodPorts): ReadonlyMap<string, number> {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const ports = containers.flatMap((container) => container.ports ?? []);
  return new Map(ports.flatMap(({ name, containerPort }) => (name === undefined ? [] : [[name, containerPort]])));
}
