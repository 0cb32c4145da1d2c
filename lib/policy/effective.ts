// TLSPolicy + defaults + what Services say about ports -> what holds. Total: a value that cannot be read, which the CRD
// should have refused, is replaced by its default and named as a fault, so that one bad field never opens a port. Pure.
import type { EffectivePolicy } from '../api/control.ts';
import type { KeyAlgorithm, TLSPolicy, TLSPolicySpec } from '../api/tlspolicy.ts';
import { formatDuration, parseDuration } from '../clock.ts';
import { messageOf } from '../errors.ts';
import { isDnsName, isNameElsewhere } from '../pki/identity.ts';
import {
  defaultCertificate,
  defaultPolicy,
  defaultRevocation,
  lifetimes,
  shortestPodCertificateMs,
} from './defaults.ts';
import { type HstsSpec, hstsValue } from './hsts.ts';
import type { PortProtocol } from './protocols.ts';

/** How the certificate of a service is to be. */
export interface CertificateSettings {
  /** Name of a TLSIssuer. */
  readonly issuer: string;
  readonly lifetimeMs: number;
  /** Percent of the lifetime after which it is renewed, before jitter. */
  readonly renewAt: number;
  readonly key: KeyAlgorithm;
  /** DNS names beyond those of the Services. */
  readonly dnsNames: readonly string[];
  /** From a Secret, or with a key that the kubelet makes. The workload's annotation must say the same. */
  readonly delivery: 'Secret' | 'PodCertificate';
}

/** A value of a policy that does not hold as written. */
export interface Fault {
  /** Path in the object, such as `spec.certificate.lifetime`. */
  readonly field: string;
  /** What is wrong and what holds instead. */
  readonly message: string;
}

type HttpSpec = NonNullable<TLSPolicySpec['http']>;

/** A value that was read, and what was wrong with what was written. */
interface Read<T> {
  readonly value: T;
  readonly faults: readonly Fault[];
}

/** What holds for the connections of a pod; `undefined` for the policy = nobody governs it. */
export function effectivePolicy(policy: TLSPolicy | undefined, spoken: readonly PortProtocol[]): EffectivePolicy {
  return readPolicy(policy, spoken).value;
}

/**
 * How the certificate of a service governed by this policy is to be. `shortestMs` is the operator's lowest lifetime, `longestMs` the
 * longest that baselines allow.
 */
export function certificateSettings(
  policy: TLSPolicy | undefined,
  shortestMs: number = lifetimes.shortestMs,
  longestMs: number = Infinity,
): CertificateSettings {
  const { value } = readCertificate(policy, shortestMs);
  const lifetimeMs = Math.max(shortestMs, Math.min(value.lifetimeMs, longestMs));
  return lifetimeMs === value.lifetimeMs ? value : { ...value, lifetimeMs };
}

/** Everything in a policy that does not hold as written, in the order of its fields. Empty for every policy that the CRD lets in. */
export function policyFaults(policy: TLSPolicy, shortestMs: number = lifetimes.shortestMs): readonly Fault[] {
  return [...readCertificate(policy, shortestMs).faults, ...readPolicy(policy, []).faults];
}

function readPolicy(policy: TLSPolicy | undefined, spoken: readonly PortProtocol[]): Read<EffectivePolicy> {
  const spec = policy?.spec ?? {};
  const mode = spec.mode ?? defaultPolicy.mode;
  const own = new Map((spec.ports ?? []).map((entry) => [entry.port, entry]));
  const heard = new Map(spoken.map(({ port, protocol }) => [port, protocol]));
  const ports = [...new Set([...own.keys(), ...heard.keys()])]
    .sort((a, b) => a - b)
    .map((port) => ({
      port,
      mode: own.get(port)?.mode ?? mode,
      protocol: own.get(port)?.protocol ?? heard.get(port) ?? ('TCP' as const),
    }));
  const connections = readConnections(policy);
  const hsts = readHsts(spec.http?.hsts);
  const maxAge = readDuration('spec.revocation.maxAge', spec.revocation?.maxAge, defaultRevocation.maxAgeMs);
  const value: EffectivePolicy = {
    source: policy === undefined ? defaultPolicy.source : `${policy.metadata.namespace ?? ''}/${policy.metadata.name}`,
    mode,
    ports,
    tls: { ...defaultPolicy.tls, ...spec.tls },
    connections: connections.value,
    accessLog: spec.http?.accessLog ?? defaultPolicy.accessLog,
    ...headersAndSampling(spec.http),
    revocation: { mode: spec.revocation?.mode ?? defaultRevocation.mode, maxAgeMs: maxAge.value },
    ...(hsts.value === undefined ? {} : { http: { hsts: hsts.value } }),
  };
  return { value, faults: [...connections.faults, ...maxAge.faults, ...hsts.faults] };
}

/** What a policy wants of HTTP and its log beyond the defaults; nothing where it wants none of it. */
function headersAndSampling({
  securityHeaders = [],
  clientCertificate,
  accessLogOneIn = 1,
  underscoresInHeaders = 'Refuse',
}: HttpSpec = {}): Pick<
  EffectivePolicy,
  'securityHeaders' | 'clientCertificate' | 'accessLogOneIn' | 'underscoresInHeaders'
> {
  const { headers = ['Client-Cert'], trustedForwarders = [] } = clientCertificate ?? {};
  return {
    ...(accessLogOneIn > 1 ? { accessLogOneIn } : {}),
    ...(underscoresInHeaders === 'Pass' ? { underscoresInHeaders } : {}),
    ...(securityHeaders.length === 0 ? {} : { securityHeaders }),
    ...(clientCertificate === undefined ? {} : { clientCertificate: { headers, trustedForwarders } }),
  };
}

function readHsts(given: HstsSpec | undefined): Read<string | undefined> {
  if (given === undefined) return { value: undefined, faults: [] };
  try {
    const { value, fault } = hstsValue(given);
    return { value, faults: fault === undefined ? [] : [{ field: 'spec.http.hsts', message: fault }] };
  } catch (error) {
    const { value } = hstsValue({});
    return { value, faults: [{ field: 'spec.http.hsts.maxAge', message: `${messageOf(error)}; ${value} holds` }] };
  }
}

function readConnections(policy: TLSPolicy | undefined): Read<EffectivePolicy['connections']> {
  const given = policy?.spec.connections ?? {};
  const defaults = defaultPolicy.connections;
  const maxAge = readDuration('spec.connections.maxAge', given.maxAge, defaults.maxAgeMs);
  const idle = readDuration('spec.connections.idleTimeout', given.idleTimeout, defaults.idleTimeoutMs);
  const handshake = readDuration(
    'spec.connections.handshakeTimeout',
    given.handshakeTimeout,
    defaults.handshakeTimeoutMs,
  );
  return {
    value: {
      maxAgeMs: maxAge.value,
      idleTimeoutMs: idle.value,
      handshakeTimeoutMs: handshake.value,
      maxConcurrent: given.maxConcurrent ?? defaults.maxConcurrent,
      transport: given.transport ?? defaults.transport ?? 'Tunnel',
    },
    faults: [...maxAge.faults, ...idle.faults, ...handshake.faults],
  };
}

function readCertificate(policy: TLSPolicy | undefined, shortestMs: number): Read<CertificateSettings> {
  const given = policy?.spec.certificate ?? {};
  const wanted = readDuration('spec.certificate.lifetime', given.lifetime, defaultCertificate.lifetimeMs);
  const lifetime = inBounds(wanted, shortestMs);
  const asked = given.dnsNames ?? [];
  const refused = asked.filter((name) => name.startsWith('*') || !isDnsName(name));
  const value: CertificateSettings = {
    issuer: given.issuer ?? defaultCertificate.issuer,
    lifetimeMs: lifetime.value,
    renewAt: given.renewAt ?? defaultCertificate.renewAt,
    key: given.key ?? defaultCertificate.key,
    dnsNames: asked.filter((name) => !refused.includes(name)),
    delivery: given.delivery ?? defaultCertificate.delivery,
  };
  const faults = [
    ...refused.map((name) => dnsNameFault(name, 'is not a full DNS name in lower case')),
    ...value.dnsNames
      .filter((name) => isNameElsewhere(name, policy?.metadata.namespace ?? '', usualClusterDomain))
      .map((name) => dnsNameFault(name, 'is not a name of this namespace')),
  ];
  const delivery = value.delivery === 'PodCertificate' ? podCertificateFaults(value) : [];
  return { value, faults: [...lifetime.faults, ...faults, ...delivery] };
}

/** The names of other namespaces are left out where the certificate is made, by the cluster's real domain (lib/pki/identity.ts). */
const usualClusterDomain = 'cluster.local';

function dnsNameFault(name: string, why: string): Fault {
  return { field: 'spec.certificate.dnsNames', message: `"${name}" ${why} and is left out of the certificate` };
}

/** What a certificate whose key the kubelet makes does not have as written. */
function podCertificateFaults({ key, lifetimeMs }: CertificateSettings): readonly Fault[] {
  const kind = `kubelets make keys of kind ${defaultCertificate.key} for Tabard; that holds with delivery PodCertificate`;
  const least = `${formatDuration(shortestPodCertificateMs)} holds with delivery PodCertificate, the least that Kubernetes takes`;
  return [
    ...(lifetimeMs < shortestPodCertificateMs ? [{ field: 'spec.certificate.lifetime', message: least }] : []),
    ...(key === defaultCertificate.key ? [] : [{ field: 'spec.certificate.key', message: kind }]),
  ];
}

function inBounds(read: Read<number>, shortestMs: number): Read<number> {
  const value = Math.min(Math.max(read.value, shortestMs), lifetimes.longestMs);
  if (value === read.value) return read;
  const range = `${formatDuration(shortestMs)} to ${formatDuration(lifetimes.longestMs)}`;
  const message = `${formatDuration(read.value)} is not from ${range}; ${formatDuration(value)} holds`;
  return { value, faults: [...read.faults, { field: 'spec.certificate.lifetime', message }] };
}

function readDuration(field: string, text: string | undefined, defaultMs: number): Read<number> {
  if (text === undefined) return { value: defaultMs, faults: [] };
  try {
    return { value: parseDuration(text), faults: [] };
  } catch (error) {
    const message = `${messageOf(error)}; ${formatDuration(defaultMs)} holds`;
    return { value: defaultMs, faults: [{ field, message }] };
  }
}
