// Reads from the cluster what authorization follows from, and reads callers and services off the command line.
import { injectedKinds, labels } from '../lib/api/contract.ts';
import { resources } from '../lib/kube/resources.ts';
import { parseIdentity, parseSpiffeId } from '../lib/pki/identity.ts';
import { AuthzView, type ServicePods } from './authz.ts';
import { type Invocation, type OptionSpec, textOption, UsageError } from './command.ts';
import { listAll } from './list.ts';

/** Options of all commands about authorization. */
export const authzOptions: Readonly<Record<string, OptionSpec>> = {
  'trust-domain': { type: 'string', value: 'NAME', help: 'trust domain of the mesh; else cluster.local' },
};

/** The option that names a port. */
export const portOption: Readonly<Record<string, OptionSpec>> = {
  port: { type: 'string', value: 'PORT', help: 'container port that is called' },
};

const usualTrustDomain = 'cluster.local';

/** Everything that the answers are made from. Rejects with a KubeError. */
export async function readAuthz({ cluster, options, signal }: Invocation): Promise<AuthzView> {
  const { client } = cluster();
  const trustDomain = textOption(options, 'trust-domain') ?? usualTrustDomain;
  const injected = {
    labelSelector: `${labels.injected} in (${injectedKinds.join(',')})`,
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
  };
  const [policies, baselines, roles, pods, fronts] = await Promise.all([
    listAll(client, resources.tlspolicies, {}, signal),
    listAll(client, resources.tlsbaselines, {}, signal),
    listAll(client, resources.tlsroles, {}, signal),
    listAll(client, resources.pods, injected, signal),
    listAll(client, resources.services, {}, signal),
  ]);
  return new AuthzView({ policies, baselines, roles, pods, fronts, trustDomain });
}

/** A caller: who it proves to be, and where it comes from. */
export interface Caller {
  /** As the person wrote it. */
  readonly name: string;
  /** Undefined: it proves nothing. */
  readonly identity: string | undefined;
  readonly service: ServicePods | undefined;
}

/** `NAMESPACE/SERVICE`, `SERVICE`, a SPIFFE ID or `anonymous`. A service need not exist. */
export function callerOf(text: string, view: AuthzView, namespace: string): Caller {
  if (text === 'anonymous') return { name: 'a caller without an identity', identity: undefined, service: undefined };
  if (text.startsWith('spiffe://')) {
    if (parseSpiffeId(text) === undefined) throw new UsageError(`"${text}" is not a SPIFFE ID`);
    const known = view.services.find(({ identity }) => identity === text);
    return { name: text, identity: text, service: known };
  }
  const [space, name] = namesOf(text, namespace);
  const identity = `spiffe://${view.trustDomain}/ns/${space}/svc/${name}`;
  if (parseIdentity(identity) === undefined)
    throw new UsageError(`"${text}" is not a service, a SPIFFE ID or "anonymous"`);
  return { name: `${space}/${name}`, identity, service: view.find(space, name) };
}

/** A service with injected pods. Throws a UsageError where there is none of the name. */
export function targetOf(text: string, view: AuthzView, namespace: string): ServicePods {
  const [space, name] = namesOf(text, namespace);
  const found = view.find(space, name);
  if (found === undefined)
    throw new UsageError(`there is no injected pod of service "${name}" in namespace "${space}"`);
  return found;
}

/** The port that was named. Throws a UsageError for what is none. */
export function portOf({ options }: Pick<Invocation, 'options'>): number | undefined {
  const text = textOption(options, 'port');
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!/^[0-9]{1,5}$/.test(text) || port < 1 || port > 65_535)
    throw new UsageError(`--port takes 1 to 65535, not "${text}"`);
  return port;
}

function namesOf(text: string, namespace: string): readonly [string, string] {
  const parts = text.split('/');
  const [first = '', second] = parts;
  if (parts.length > 2 || text === '') throw new UsageError(`"${text}" is not SERVICE or NAMESPACE/SERVICE`);
  return second === undefined ? [namespace, first] : [first, second];
}
