// Which services run with which service account, followed pod by pod. A certificate names a service; this is how rules that name accounts are
// put into identities (docs/adr/0023-authorization.md). Pure.
import { isInjectedKind, labels, spiffeId, written } from '../../lib/api/contract.ts';
import type { Pod } from '../../lib/kube/object.ts';
import { isServiceName } from '../../lib/pki/identity.ts';
import type { AccountHolders } from '../../lib/policy/authorization.ts';

interface Placed {
  readonly namespace: string;
  readonly service: string;
  readonly account: string;
}

/** What a pod without a stated account runs with. */
const usualAccount = 'default';

/** The accounts of all services that have unfinished injected pods. */
export class Accounts implements AccountHolders {
  readonly #trustDomain: string;
  /** Called with `<namespace>/<account>` when the services that stand for it change. */
  readonly #onChange: (account: string) => void;
  readonly #pods = new Map<string, Placed>();
  /** How many pods of a service run with each account, by `<namespace>/<service>`. */
  readonly #services = new Map<string, Map<string, number>>();
  /** Services with any pod of an account, by `<namespace>/<account>`. */
  readonly #holders = new Map<string, Set<string>>();

  constructor(trustDomain: string, onChange: (account: string) => void) {
    this.#trustDomain = trustDomain;
    this.#onChange = onChange;
  }

  all(namespace: string, account: string): readonly string[] {
    return this.#identities(namespace, account, (accounts) => accounts.size === 1);
  }

  any(namespace: string, account: string): readonly string[] {
    return this.#identities(namespace, account, () => true);
  }

  /** Follows a pod (arguments of a Store's listener). */
  podChanged(before: Pod | undefined, after: Pod | undefined): void {
    const changed = new Set<string>();
    if (before !== undefined) this.#place(before.metadata.uid, undefined, changed);
    if (after !== undefined) this.#place(after.metadata.uid, placed(after), changed);
    for (const account of changed) this.#onChange(account);
  }

  #place(uid: string, next: Placed | undefined, changed: Set<string>): void {
    const known = this.#pods.get(uid);
    if (known !== undefined) {
      this.#pods.delete(uid);
      this.#count(known, -1, changed);
    }
    if (next === undefined) return;
    this.#pods.set(uid, next);
    this.#count(next, 1, changed);
  }

  /** A pod that goes and comes in one change leaves an account in `changed` that is as it was: listeners compare what they make of it. */
  #count({ namespace, service, account }: Placed, by: 1 | -1, changed: Set<string>): void {
    const key = `${namespace}/${service}`;
    const accounts = this.#services.get(key) ?? new Map<string, number>();
    const before = accounts.get(account) ?? 0;
    const after = before + by;
    if (after > 0) accounts.set(account, after);
    if (before > 0 && after > 0) return;
    // Which other accounts the service stands for alone may change with this one.
    for (const each of [...accounts.keys(), account]) changed.add(`${namespace}/${each}`);
    const holders = this.#holders.get(`${namespace}/${account}`) ?? new Set<string>();
    if (after > 0) holders.add(service);
    else {
      accounts.delete(account);
      holders.delete(service);
    }
    put(this.#services, key, accounts);
    put(this.#holders, `${namespace}/${account}`, holders);
  }

  #identities(
    namespace: string,
    account: string,
    stands: (accounts: ReadonlyMap<string, number>) => boolean,
  ): readonly string[] {
    const services = [...(this.#holders.get(`${namespace}/${account}`) ?? [])].sort();
    return services
      .filter((service) => stands(this.#services.get(`${namespace}/${service}`) ?? new Map()))
      .map((service) => spiffeId(this.#trustDomain, namespace, service));
  }
}

function put<V extends { readonly size: number }>(map: Map<string, V>, key: string, value: V): void {
  if (value.size === 0) map.delete(key);
  else map.set(key, value);
}

/** Where an injected pod that is not finished belongs; undefined for any other. */
function placed({ metadata, spec, status }: Pod): Placed | undefined {
  const service = metadata.annotations?.[written.service];
  if (!isInjectedKind(metadata.labels?.[labels.injected]) || spec?.hostNetwork === true) return undefined;
  if (service === undefined || !isServiceName(service)) return undefined;
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  return { namespace: metadata.namespace ?? '', service, account: spec?.serviceAccountName ?? usualAccount };
}
