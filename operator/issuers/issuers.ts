// Which issuer a TLSPolicy means by a name, and what the certificates of it need: signed by that issuer, read by a mesh that
// trusts more than it.
import { names } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Store } from '../../lib/kube/store.ts';
import { bundleOf, isMeshIssuer, type TrustBundle, type TrustSource } from '../trust/mesh.ts';
import type { Issuer, IssuerState } from './issuer.ts';

/** Where issuers and the mesh's bundle are found. */
export interface IssuersDeps {
  readonly objects: Pick<Store<TLSIssuer>, 'get'>;
  /** Signs for the TLSIssuer `cluster`. */
  readonly cluster: Issuer;
  /** Those of other kinds and names that are at work. */
  readonly running: { get(name: string): Issuer | undefined };
  readonly trust: Pick<TrustSource, 'current'>;
}

type Unready = Extract<IssuerState, { ready: false }>;
type Bundle = { readonly trustBundle: string; readonly bundleFingerprint: string };

/** Issuers by name. */
export class Issuers {
  readonly #deps: IssuersDeps;
  /** By the fingerprint of an issuer's own bundle. */
  readonly #joined = new Map<string, { readonly mesh: string; readonly bundle: Bundle }>();

  constructor(deps: IssuersDeps) {
    this.#deps = deps;
  }

  /** The state of the issuer that a policy names. */
  state(name: string, now: Date): IssuerState {
    const issuer = this.named(name);
    if ('ready' in issuer) return issuer;
    const state = issuer.state(now);
    const mesh = this.#deps.trust.current();
    if (state.ready && mesh !== undefined) return { ...state, ...this.#joinedWith(mesh, state) };
    // Without that CA in its bundle a sidecar could not even ask the operator.
    const why = state.ready ? 'the CA of the control plane is not known yet' : state.message;
    const unready = { ready: false, reason: 'IssuerNotReady', ...(state.ready ? {} : state) } as const;
    return { ...unready, message: `TLSIssuer "${name}" cannot sign: ${why}` };
  }

  /** Whether certificates of an issuer carry identities of the mesh; one that is not there counts as one of them. */
  signsIdentities(name: string): boolean {
    const object = this.#deps.objects.get(name);
    return object === undefined || isMeshIssuer(object);
  }

  /** The issuer to sign with, or why there is none. */
  named(name: string): Issuer | Unready {
    const { objects, cluster, running } = this.#deps;
    const object = objects.get(name);
    if (object === undefined) {
      const message = `there is no TLSIssuer "${name}"; make it, or name another in spec.certificate.issuer`;
      return { ready: false, reason: 'IssuerMissing', message };
    }
    if (name === names.defaultIssuer && object.spec.selfSigned !== undefined) return cluster;
    const message = `TLSIssuer "${name}" is not at work; this version may not know its kind`;
    return running.get(name) ?? { ready: false, reason: 'IssuerNotReady', message };
  }

  /** What a leaf's Secret holds as bundle: the mesh's, and the issuer's own CAs where the mesh has yet to learn of them. */
  #joinedWith(mesh: TrustBundle, own: Bundle): Bundle {
    const known = this.#joined.get(own.bundleFingerprint);
    if (known?.mesh === mesh.fingerprint) return known.bundle;
    const { pem, fingerprint } = bundleOf([mesh.pem, own.trustBundle]);
    const bundle = { trustBundle: pem, bundleFingerprint: fingerprint };
    if (this.#joined.size > 100) this.#joined.clear();
    this.#joined.set(own.bundleFingerprint, { mesh: mesh.fingerprint, bundle });
    return bundle;
  }
}
