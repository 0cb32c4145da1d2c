// From parsed JSON to the wire types of the control API. Strict in what this proxy relies on, deaf to members it does not
// know, so that an operator one minor version apart can be understood. Pure; throws AppError `control_protocol`.
import { isIP } from 'node:net';
import type {
  AcmeChallenge,
  DestinationSnapshot,
  EffectivePolicy,
  Endpoint,
  ForwardedHeader,
  PlainReason,
  SelfSnapshot,
} from '../../lib/api/control.ts';
import type { Group, Mode, Protocol } from '../../lib/api/tlspolicy.ts';
import { AppError } from '../../lib/errors.ts';
import { parseAuthentication } from './authentication.ts';
import { parseAuthorization } from './authorization.ts';

type Members = Readonly<Record<string, unknown>>;

const modes: readonly Mode[] = ['Mutual', 'ServerOnly', 'Permissive', 'Disabled'];
const protocols: readonly Protocol[] = ['TCP', 'HTTP', 'HTTP2', 'GRPC', 'Passthrough'];
const groups: readonly Group[] = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384'];
const plainReasons: readonly PlainReason[] = [
  'not_in_mesh',
  'policy_disabled',
  'application_tls',
  'port_excluded',
  'control_unavailable',
];

/** One line of GET /v1/self. */
export function parseSelf(message: unknown): SelfSnapshot {
  const self = object(message, 'self');
  return {
    version: text(self, 'version'),
    trustDomain: text(self, 'trustDomain'),
    namespace: text(self, 'namespace'),
    service: text(self, 'service'),
    identity: text(self, 'identity'),
    policy: parsePolicy(self['policy']),
    trustBundle: text(self, 'trustBundle'),
    ...(self['retired'] === undefined
      ? {}
      : { retired: array(self, 'retired').map((each) => string(each, 'retired')) }),
    ...(self['federated'] === undefined ? {} : { federated: array(self, 'federated').map(parseFederated) }),
    clusterRanges: array(self, 'clusterRanges').map((each) => string(each, 'clusterRanges')),
    ...parseChallenges(self['challenges']),
  };
}

function parseFederated(value: unknown): { readonly trustDomain: string; readonly bundle: string } {
  const other = object(value, 'federated');
  return { trustDomain: text(other, 'trustDomain'), bundle: text(other, 'bundle') };
}

/** One line of GET /v1/destinations/…. */
export function parseDestination(message: unknown): DestinationSnapshot {
  const destination = object(message, 'destination');
  const serverName = destination['serverName'];
  return {
    version: text(destination, 'version'),
    known: destination['known'] === true || (destination['known'] !== false && fail('known', 'true or false')),
    ...(serverName === undefined ? {} : { serverName: string(serverName, 'serverName') }),
    endpoints: array(destination, 'endpoints').map(parseEndpoint),
  };
}

function parsePolicy(value: unknown): EffectivePolicy {
  const policy = object(value, 'policy');
  const authentication = parseAuthentication(policy['authentication']);
  const authorization = parseAuthorization(policy['authorization']);
  const tls = object(policy['tls'], 'policy.tls');
  const connections = object(policy['connections'], 'policy.connections');
  return {
    source: text(policy, 'source'),
    mode: oneOf(policy['mode'], modes, 'policy.mode'),
    ports: array(policy, 'ports').map((each) => {
      const port = object(each, 'policy.ports');
      return {
        port: portOf(port['port']),
        mode: oneOf(port['mode'], modes, 'policy.ports.mode'),
        protocol: oneOf(port['protocol'], protocols, 'policy.ports.protocol'),
      };
    }),
    tls: {
      minVersion: oneOf(tls['minVersion'], ['1.2', '1.3'] as const, 'policy.tls.minVersion'),
      ciphers: array(tls, 'ciphers').map((each) => string(each, 'policy.tls.ciphers')),
      // A group that this version does not know is left out; the ones that it knows still hold.
      groups: array(tls, 'groups').flatMap((each) => groups.find((group) => group === each) ?? []),
    },
    connections: {
      maxAgeMs: positive(connections, 'maxAgeMs'),
      idleTimeoutMs: positive(connections, 'idleTimeoutMs'),
      handshakeTimeoutMs: positive(connections, 'handshakeTimeoutMs'),
      maxConcurrent: positive(connections, 'maxConcurrent'),
      ...parseTransport(connections['transport']),
    },
    accessLog: oneOf(policy['accessLog'], ['None', 'Denied', 'All'] as const, 'policy.accessLog'),
    ...parseRevocation(policy['revocation']),
    ...parseOneIn(policy['accessLogOneIn']),
    ...parseHttp(policy['http']),
    ...parseHeaders(policy['securityHeaders']),
    ...(policy['underscoresInHeaders'] === 'Pass' ? { underscoresInHeaders: 'Pass' as const } : {}),
    ...parseClientCertificate(policy['clientCertificate']),
    ...(authentication === undefined ? {} : { authentication }),
    ...(authorization === undefined ? {} : { authorization }),
  };
}

/** One that this version does not know is carried the way that every version knows. Absent with an older operator. */
function parseTransport(value: unknown): Pick<EffectivePolicy['connections'], 'transport'> {
  if (value === undefined) return {};
  return { transport: string(value, 'policy.connections.transport') === 'Tunnel' ? 'Tunnel' : 'Direct' };
}

/** The value goes into answers as it is: nothing but what it may hold. */
function parseHttp(value: unknown): Pick<EffectivePolicy, 'http'> {
  if (value === undefined) return {};
  const hsts = text(object(value, 'policy.http'), 'hsts');
  return /^[a-zA-Z0-9=; -]{1,100}$/.test(hsts) ? { http: { hsts } } : fail('policy.http.hsts', 'a header value');
}

function parseOneIn(value: unknown): Pick<EffectivePolicy, 'accessLogOneIn'> {
  if (value === undefined) return {};
  return { accessLogOneIn: Math.max(1, positive({ value }, 'value')) };
}

/** They go into answers as they are: a field name and visible text. */
function parseHeaders(value: unknown): Pick<EffectivePolicy, 'securityHeaders'> {
  if (value === undefined) return {};
  const securityHeaders = array({ securityHeaders: value }, 'securityHeaders').map((each) => {
    const header = object(each, 'policy.securityHeaders');
    const [name, content] = [text(header, 'name'), text(header, 'value')];
    if (!/^[A-Za-z-]{1,64}$/.test(name)) fail('policy.securityHeaders.name', 'the name of a field');
    if (!/^[!-~](?:[ -~]{0,2046}[!-~])?$/.test(content)) fail('policy.securityHeaders.value', 'visible ASCII');
    return { name, value: content };
  });
  return securityHeaders.length > mostHeaders ? fail('policy.securityHeaders', 'so short a list') : { securityHeaders };
}

/** As many as can be told apart by the bits of a number, and Strict-Transport-Security. */
const mostHeaders = 29;
const forwardedHeaders: readonly ForwardedHeader[] = ['Client-Cert', 'X-Forwarded-Client-Cert'];

/** A header that this version does not know is left out. */
function parseClientCertificate(value: unknown): Pick<EffectivePolicy, 'clientCertificate'> {
  if (value === undefined) return {};
  const given = object(value, 'policy.clientCertificate');
  const headers = array(given, 'headers').flatMap((each) => forwardedHeaders.find((name) => name === each) ?? []);
  const trustedForwarders = array(given, 'trustedForwarders').map((each) => string(each, 'trustedForwarders'));
  return { clientCertificate: { headers, trustedForwarders } };
}

/** Absent with an operator that serves no revocations. */
function parseRevocation(value: unknown): Pick<EffectivePolicy, 'revocation'> {
  if (value === undefined) return {};
  const revocation = object(value, 'policy.revocation');
  const mode = oneOf(revocation['mode'], ['Hard', 'Soft'] as const, 'policy.revocation.mode');
  return { revocation: { mode, maxAgeMs: positive(revocation, 'maxAgeMs') } };
}

/** A kind that this version does not know is left out: nobody waits for this sidecar to answer it. */
function parseChallenges(value: unknown): Pick<SelfSnapshot, 'challenges'> {
  if (value === undefined) return {};
  const challenges = array({ challenges: value }, 'challenges').flatMap((each): readonly AcmeChallenge[] => {
    const challenge = object(each, 'challenges');
    const member = (name: string): string => text(challenge, name);
    const { type } = challenge;
    if (type === 'http-01') return [{ type, token: member('token'), keyAuthorization: member('keyAuthorization') }];
    if (type !== 'tls-alpn-01') return [];
    const [token, domain, certificate, key] = [member('token'), member('domain'), member('certificate'), member('key')];
    return [{ type, token, domain, certificate, key }];
  });
  return { challenges };
}

function parseEndpoint(value: unknown): Endpoint {
  const endpoint = object(value, 'endpoint');
  const address = text(endpoint, 'address');
  if (isIP(address) === 0) fail('endpoint.address', 'an IP address');
  const port = portOf(endpoint['port']);
  // A transport that is not known must not be taken for a permission to send plaintext.
  if (endpoint['transport'] === 'mutual')
    return { address, port, transport: 'mutual', identity: text(endpoint, 'identity') };
  if (endpoint['transport'] !== 'plain') return fail('endpoint.transport', '"mutual" or "plain"');
  return { address, port, transport: 'plain', why: oneOf(endpoint['why'], plainReasons, 'endpoint.why') };
}

function fail(member: string, wanted: string): never {
  throw new AppError('control_protocol', `the control API sent a snapshot in which ${member} is not ${wanted}`);
}

function object(value: unknown, name: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(name, 'an object');
  return value as Members;
}

function array(members: Members, name: string): readonly unknown[] {
  const value = members[name];
  return Array.isArray(value) ? value : fail(name, 'a list');
}

function string(value: unknown, name: string): string {
  return typeof value === 'string' ? value : fail(name, 'text');
}

function text(members: Members, name: string): string {
  const value = string(members[name], name);
  return value === '' ? fail(name, 'a text that is not empty') : value;
}

function oneOf<const T extends string>(value: unknown, accepted: readonly T[], name: string): T {
  return accepted.find((each) => each === value) ?? fail(name, `one of ${accepted.join(', ')}`);
}

function portOf(value: unknown): number {
  const fits = typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536;
  return fits ? value : fail('port', 'a port');
}

function positive(members: Members, name: string): number {
  const value = members[name];
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : fail(name, 'a positive number');
}
