// Which issuer a TLSPolicy means by a name. A new kind of issuer is one more line here.
import { names } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Issuer, IssuerState } from './issuer.ts';

/** Issuers by name. */
export class Issuers {
  readonly #objects: Pick<Store<TLSIssuer>, 'get'>;
  readonly #cluster: Issuer;

  /** `cluster` signs for the TLSIssuer of that name. */
  constructor(objects: Pick<Store<TLSIssuer>, 'get'>, cluster: Issuer) {
    this.#objects = objects;
    this.#cluster = cluster;
  }

  /** The state of the issuer that a policy names. */
  state(name: string, now: Date): IssuerState {
    const issuer = this.named(name);
    if ('ready' in issuer) return issuer;
    const state = issuer.state(now);
    return state.ready ? state : { ...state, message: `TLSIssuer "${name}" cannot sign: ${state.message}` };
  }

  /** The issuer to sign with, or why there is none. */
  named(name: string): Issuer | Extract<IssuerState, { ready: false }> {
    const object = this.#objects.get(name);
    if (object === undefined) {
      const message = `there is no TLSIssuer "${name}"; make it, or name another in spec.certificate.issuer`;
      return { ready: false, reason: 'IssuerMissing', message };
    }
    if (name === names.defaultIssuer && object.spec.selfSigned !== undefined) return this.#cluster;
    return {
      ready: false,
      reason: 'IssuerNotReady',
      message: `TLSIssuer "${name}" is of a kind that this version cannot sign with`,
    };
  }
}
