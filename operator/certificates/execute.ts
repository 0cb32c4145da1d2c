// Carries a plan out: makes a key, has the leaf signed, writes the Secret in one request. A new Secret is created, so that
// one that is there already is never overwritten; an existing one is applied on top of exactly the version that was judged.
import { fieldManagers, secretKeys } from '../../lib/api/contract.ts';
import type { OwnerReference } from '../../lib/api/tlspolicy.ts';
import type { Clock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { isKube } from '../../lib/kube/errors.ts';
import type { KubeInput, Secret } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import { generateKey, privateKeyPem } from '../../lib/pki/keys.ts';
import { issuedNotes } from '../audit/unrecorded.ts';
import { contentOf, keystoreParts } from '../delivery/keystores.ts';
import type { IssuerState, LeafOrder, SignedLeaf } from '../issuers/issuer.ts';
import type { Issuers } from '../issuers/issuers.ts';
import type { OpenOrders } from '../issuers/orders.ts';
import { previousAnnotation } from '../revocation/known.ts';
import type { Gathered } from './gather.ts';
import type { Action } from './plan.ts';
import { renewalTime } from './schedule.ts';
import { dataOf, factsAsOrdered, type Made, rewrittenInput, secretInput, serviceOf } from './secret.ts';
import { type CurrentSecret, type Wanted, wantedKey } from './snapshot.ts';

/** What executing works with. */
export interface ExecuteDeps {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'apply' | 'delete'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly issuers: Issuers;
  readonly orders: Pick<OpenOrders, 'leaf'>;
  readonly trustDomain: string;
}

type Ready = Extract<IssuerState, { ready: true }>;
type Issue = Extract<Action, { kind: 'issue' }>;

/** What came of it. */
export type Executed =
  | {
      readonly kind: 'written';
      readonly secret: Secret;
      readonly leaf?: SignedLeaf;
      readonly made?: Made & Pick<Ready, 'trustBundle'>;
    }
  | { readonly kind: 'deleted' }
  /** The signer takes its time; the order is open. */
  | { readonly kind: 'ordered' }
  /** Another writer made a Secret of ours first: this is it. */
  | { readonly kind: 'overtaken'; readonly secret: Secret }
  /** A Secret of somebody else has the name. */
  | { readonly kind: 'foreign' };

/** Carries out one action on one service. */
export class Executor {
  readonly #deps: ExecuteDeps;

  constructor(deps: ExecuteDeps) {
    this.#deps = deps;
  }

  /** Rejects with a KubeError or AppError; nothing is then changed, or the next try finds what was. */
  async execute(action: Exclude<Action, { kind: 'keep' }>, gathered: Gathered, signal: AbortSignal): Promise<Executed> {
    switch (action.kind) {
      case 'issue':
        return this.#issue(action, gathered, signal);
      case 'rewrite':
        return this.#rewrite(gathered, signal);
      case 'delete':
        await this.#delete(gathered.secret, signal);
        return { kind: 'deleted' };
    }
  }

  async #issue({ wanted, reason }: Issue, gathered: Gathered, signal: AbortSignal): Promise<Executed> {
    const { issuers, clock } = this.#deps;
    const { key, current } = gathered.snapshot;
    const [namespace = '', service = ''] = key.split('/');
    const state = issuers.state(wanted.issuer, clock.now());
    if (!state.ready) throw new AppError('pki_invalid', 'the issuer can no longer sign', { retryable: true });
    const ordered = await this.#ordered(wanted, gathered, signal);
    if (ordered === undefined) return { kind: 'ordered' };
    const { leaf, privateKey } = ordered;
    const keyPem = privateKeyPem(privateKey);
    const { trustBundle, bundleFingerprint } = state;
    const input = secretInput({
      namespace,
      service,
      leaf,
      keyPem,
      trustBundle,
      keystores: await keystoreParts(gathered.keystores, gathered.secret, {
        service,
        chain: leaf.chain,
        key: keyPem,
        trustBundle,
        content: contentOf(leaf.serial, bundleFingerprint),
      }),
      wanted,
      renewAt: renewalTime(leaf, wanted.renewAt),
      owners: ownersOf(current, wanted.owners),
      notes: { ...previousAnnotation(gathered.secret, clock.now()), ...issuedNotes(reason, clock.now()) },
    });
    const written = await this.#write(input, gathered, signal);
    if (written.kind !== 'written') return written;
    const facts = state.mesh ? factsAsOrdered(leaf, wanted) : undefined;
    return { ...written, leaf, ...(facts === undefined ? {} : { made: { input, facts, trustBundle } }) };
  }

  /** A leaf with a key of its own; undefined while the signer takes its time. */
  #ordered(wanted: Wanted, { snapshot, replaces }: Gathered, signal: AbortSignal): ReturnType<OpenOrders['leaf']> {
    const { orders, trustDomain, clock } = this.#deps;
    const { key } = snapshot;
    const [namespace = '', service = ''] = key.split('/');
    const { issuer, dnsNames, lifetimeMs } = wanted;
    const make = async (): Promise<LeafOrder> => {
      const keys = await generateKey(wanted.key);
      const order = { ...keys, identity: { trustDomain, namespace, service }, dnsNames, lifetimeMs, now: clock.now() };
      return replaces === undefined ? order : { ...order, replaces };
    };
    return orders.leaf(key, { issuer, wanted: wantedKey(wanted), make }, signal);
  }

  async #rewrite(gathered: Gathered, signal: AbortSignal): Promise<Executed> {
    const { secret, snapshot } = gathered;
    const service = secret === undefined ? undefined : serviceOf(secret);
    if (secret === undefined || service === undefined)
      throw new AppError('input_invalid', 'there is no Secret to rewrite');
    const { issuer, current, wanted } = snapshot;
    const trustBundle = issuer.ready ? issuer.trustBundle : undefined;
    const fingerprint = issuer.ready ? issuer.bundleFingerprint : bundleFingerprintOf(current);
    const keystores = await keystoreParts(gathered.keystores, secret, {
      service,
      chain: dataOf(secret, secretKeys.certificate),
      key: dataOf(secret, secretKeys.key),
      trustBundle: trustBundle ?? dataOf(secret, secretKeys.trustBundle),
      content: contentOf(current.kind === 'held' ? current.facts.serial : '', fingerprint),
    });
    const owners = ownersOf(current, wanted?.owners);
    return this.#write(rewrittenInput(secret, { service, trustBundle, owners, keystores }), gathered, signal);
  }

  async #write(input: KubeInput, { secret, snapshot }: Gathered, signal: AbortSignal): Promise<Executed> {
    const { client } = this.#deps;
    const { current } = snapshot;
    if (current.kind === 'broken' && current.recreate) await this.#delete(secret, signal);
    else if (secret !== undefined) {
      const { uid, resourceVersion } = secret.metadata;
      const exact = { ...input, metadata: { ...input.metadata, uid, resourceVersion } };
      const options = { signal, fieldManager: fieldManagers.operator, force: true };
      return { kind: 'written', secret: await client.apply(resources.secrets, exact, options) };
    }
    try {
      const options = { signal, fieldManager: fieldManagers.operator };
      return { kind: 'written', secret: await client.create(resources.secrets, input, options) };
    } catch (error) {
      if (!isKube(error, 'AlreadyExists')) throw error;
      const live = await client.get(resources.secrets, input.metadata, { signal });
      return serviceOf(live) === undefined ? { kind: 'foreign' } : { kind: 'overtaken', secret: live };
    }
  }

  async #delete(secret: Secret | undefined, signal: AbortSignal): Promise<void> {
    if (secret === undefined) return;
    const { name, namespace = '', uid, resourceVersion } = secret.metadata;
    try {
      await this.#deps.client.delete(resources.secrets, { name, namespace }, { signal, uid, resourceVersion });
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
  }
}

/** Those that want it and those that have it: whose object is gone the garbage collector takes out. */
function ownersOf(current: CurrentSecret, wanted: readonly OwnerReference[] = []): readonly OwnerReference[] {
  const before = current.kind === 'held' || current.kind === 'broken' ? current.owners : [];
  return [...new Map([...before, ...wanted].map((owner) => [owner.uid, owner])).values()];
}

function bundleFingerprintOf(current: CurrentSecret): string | undefined {
  return current.kind === 'held' ? current.bundleFingerprint : undefined;
}
