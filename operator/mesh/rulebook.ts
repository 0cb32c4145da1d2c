// The authorization rules of each policy, compiled once for all of its pods, and the floor of the baselines. Knows which namespaces a change of
// a service account concerns. Pure; the stores behind it are handed in.
import type { Authorization, AuthorizationRule } from '../../lib/api/authorization.ts';
import type { TLSBaseline } from '../../lib/api/tlsbaseline.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { keyOf } from '../../lib/kube/object.ts';
import { type AuthorizationSources, compileAuthorization } from '../../lib/policy/authorization.ts';
import { type Floor, floorOf } from '../../lib/policy/baseline.ts';

/** Where rules come from, as the stores hold them at the moment of asking. */
export interface RulebookSources extends Omit<AuthorizationSources, 'baselines'> {
  baselines(): readonly TLSBaseline[];
}

interface Page {
  readonly made: string;
  readonly authorization: Authorization | undefined;
  readonly text: string | undefined;
}

/** Key of the page for pods that no policy governs. */
const nobody = '';

/** Compiled rules. Equal rules stay one and the same object. */
export class Rulebook {
  readonly #sources: RulebookSources;
  readonly #pages = new Map<string, Page>();
  /** Namespaces whose policies name an account, by `<namespace>/<account>`. */
  readonly #mentions = new Map<string, Set<string>>();
  #edition = 0;
  #floor: Floor | undefined;

  constructor(sources: RulebookSources) {
    this.#sources = sources;
  }

  /** The rules for the pods that a policy governs; undefined = nothing restricts who calls them. */
  of(policy: TLSPolicy | undefined): Authorization | undefined {
    const key = policy === undefined ? nobody : keyOf(policy.metadata);
    const made = `${this.#edition} ${policy?.metadata.uid} ${policy?.metadata.generation}`;
    const known = this.#pages.get(key);
    if (known?.made === made) return known.authorization;
    const { authorization: next } = compileAuthorization(policy, {
      ...this.#sources,
      baselines: this.#sources.baselines(),
    });
    const text = next === undefined ? undefined : JSON.stringify(next);
    const authorization = known !== undefined && known.text === text ? known.authorization : next;
    this.#pages.set(key, { made, authorization, text });
    return authorization;
  }

  /** What no policy may go below. */
  floor(): Floor {
    this.#floor ??= floorOf(this.#sources.baselines());
    return this.#floor;
  }

  /** Baselines, roles or accounts changed: everything is compiled anew when it is next asked for. */
  revised(): void {
    this.#edition += 1;
    this.#floor = undefined;
  }

  /** Follows a policy, for `concerned`. */
  policyChanged(before: TLSPolicy | undefined, after: TLSPolicy | undefined): void {
    const changed = after ?? before;
    if (changed === undefined) return;
    if (after === undefined) this.#pages.delete(keyOf(changed.metadata));
    const namespace = changed.metadata.namespace ?? '';
    for (const account of accountsOf(after?.spec.authorization?.rules, namespace)) {
      const namespaces = this.#mentions.get(account) ?? new Set();
      this.#mentions.set(account, namespaces.add(namespace));
    }
  }

  /**
   * The namespaces for whose pods the rules may change with the services that stand for an account (`<namespace>/<account>`). A policy that named
   * one once is remembered: to look again costs little.
   */
  concerned(account: string): ReadonlySet<string> | 'all' {
    const everywhere = this.#sources
      .baselines()
      .some(({ spec }) => accountsOf(spec.authorization?.rules, '').has(account));
    return everywhere ? 'all' : (this.#mentions.get(account) ?? new Set());
  }
}

function accountsOf(rules: readonly AuthorizationRule[] = [], namespace: string): ReadonlySet<string> {
  const callers = rules.flatMap(({ from }) => from ?? []);
  return new Set(
    callers.flatMap(({ serviceAccounts = [], namespaces = [namespace] }) =>
      namespaces.flatMap((each) => serviceAccounts.map((account) => `${each}/${account}`)),
    ),
  );
}
