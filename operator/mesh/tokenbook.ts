// What each policy says of end users, compiled once for all of its pods. Equal content stays one and the same object, also when keys were fetched
// anew. Pure; where the keys are is handed in.
import type { Authentication, TokenKey } from '../../lib/api/authentication.ts';
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { keyOf } from '../../lib/kube/object.ts';
import { compileAuthentication, type JwksSource } from '../../lib/policy/authentication.ts';

interface Page {
  readonly made: string;
  readonly authentication: Authentication | undefined;
  readonly text: string | undefined;
}

/** Compiled authentication by policy. */
export class TokenBook {
  readonly #keysAt: (source: JwksSource) => readonly TokenKey[] | undefined;
  readonly #pages = new Map<string, Page>();
  #edition = 0;

  constructor(keysAt: (source: JwksSource) => readonly TokenKey[] | undefined) {
    this.#keysAt = keysAt;
  }

  /** What holds for the pods that a policy governs; undefined = tokens are not looked at. */
  of(policy: TLSPolicy | undefined): Authentication | undefined {
    if (policy?.spec.authentication === undefined) return undefined;
    const key = keyOf(policy.metadata);
    const made = `${this.#edition} ${policy.metadata.uid} ${policy.metadata.generation}`;
    const known = this.#pages.get(key);
    if (known?.made === made) return known.authentication;
    const { authentication: next } = compileAuthentication(policy, this.#keysAt);
    const text = next === undefined ? undefined : JSON.stringify(next);
    const authentication = known !== undefined && known.text === text ? known.authentication : next;
    this.#pages.set(key, { made, authentication, text });
    return authentication;
  }

  /** Keys were fetched: everything is compiled anew when it is next asked for. */
  revised(): void {
    this.#edition += 1;
  }

  /** A policy is gone. */
  drop(policy: TLSPolicy): void {
    this.#pages.delete(keyOf(policy.metadata));
  }
}
