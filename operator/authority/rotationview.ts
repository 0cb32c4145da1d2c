// What the rotation of a CA is decided on, and what can come of it. Data only.
import type { RotationPhase } from '../../lib/api/tlsissuer.ts';

/** What the machine must know of a CA. */
export interface CaFacts {
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
  /** Subject key id, upper-case hex: the AKI of its leaves. */
  readonly keyId: string;
  /** When its life began, without the time by which certificates are backdated. */
  readonly issuedAt: Date;
  /** Absent = from when it was issued. */
  readonly notBefore?: Date;
  readonly notAfter: Date;
  /** SHA-256 of the roots that a bundle must hold for its leaves to be good. */
  readonly anchors: readonly string[];
}

/** What lies in the Secret, without keys. */
export interface RingFacts {
  readonly phase: RotationPhase;
  /** Undefined while Idle. */
  readonly phaseSince: Date | undefined;
  readonly active: CaFacts;
  /** Prepared: the one that will sign. */
  readonly next: CaFacts | undefined;
  /** Active: the one that signed before; undefined when it was distrusted at once. */
  readonly previous: CaFacts | undefined;
  /** Retiring: what has left the bundle. */
  readonly retired: Pick<CaFacts, 'anchors' | 'keyId' | 'notAfter'> | undefined;
  /** Requests that were acted on, as `verb:value`. */
  readonly handled: readonly string[];
  /** A CA that was offered, and undone by a person: it is not taken a second time. */
  readonly declined: string | undefined;
  /** After an undo: nothing begins by itself before. */
  readonly holdUntil: Date | undefined;
}

/** Someone who proves himself and judges others with what the operator gave him. */
export interface Peer {
  /** `namespace/pod`. */
  readonly name: string;
  /** `sidecar` reports what it uses; `files` reads its certificate from a mounted Secret and reports nothing. */
  readonly kind: 'sidecar' | 'files';
  /** What is in its bundle, by SHA-256, and since when that is known; undefined = nothing was heard of it. */
  readonly trusts: ReadonlyMap<string, Date> | undefined;
  /** Whether its certificate is to be of this issuer. */
  readonly mine: boolean;
  /** Key id of the CA of the certificate in use, and since when; undefined = not known. */
  readonly signedBy: { readonly keyId: string; readonly since: Date } | undefined;
}

/** A certificate of this issuer that is kept in a Secret and will be renewed. */
export interface Leaf {
  /** `namespace/service`. */
  readonly name: string;
  readonly authorityKeyId: string | undefined;
  readonly notAfter: Date;
}

/** What persons ask for: the values of the annotations, each of which acts once. */
export interface Requests {
  readonly rotate?: string | undefined;
  readonly undo?: string | undefined;
  /** Fingerprint of the CA that is not to be trusted from now on. */
  readonly distrust?: string | undefined;
}

/** Everything that the next step follows from. */
export interface RotationView {
  readonly now: Date;
  readonly ring: RingFacts;
  readonly paused: boolean;
  readonly requests: Requests;
  /** `own`: new CAs are made here. `given`: somebody else makes them. */
  readonly source: 'own' | 'given';
  /** The CA that somebody else offers now; may be one that is in use already. */
  readonly offered: CaFacts | undefined;
  readonly peers: readonly Peer[];
  readonly leaves: readonly Leaf[];
  readonly waits: Waits;
}

/** Waiting times, milliseconds. */
export interface Waits {
  /** How long the kubelet may take to bring a Secret's content into a pod. */
  readonly filesMs: number;
  /** How long a step lasts at least: another replica may see the Secret a little later. */
  readonly settleMs: number;
}

/** A change of the Secret. `handles` is the request that is thereby acted on. */
export type Step =
  | { readonly kind: 'prepare'; readonly from: 'own' | 'offered'; readonly reason: string; readonly handles?: string }
  | { readonly kind: 'activate'; readonly reason?: string }
  | { readonly kind: 'retire' }
  | { readonly kind: 'finish' }
  /** Prepared: the next one is dropped. Active: the previous one signs again. */
  | { readonly kind: 'undo'; readonly reason: string; readonly handles?: string; readonly declines?: string }
  /** Another CA signs at once, and the one before is trusted no more. */
  | {
      readonly kind: 'replace';
      readonly from: 'own' | 'offered' | 'next' | 'previous';
      readonly reason: string;
      readonly handles?: string;
    }
  /** A CA that does not sign is trusted no more. */
  | { readonly kind: 'distrust'; readonly fingerprint: string; readonly reason: string; readonly handles: string };

/** A request that cannot be honoured. */
export interface Refusal {
  readonly reason: 'NothingToDistrust' | 'NoOtherAuthority' | 'NothingToUndo' | 'KeptElsewhere';
  readonly message: string;
}

/** The outcome. `refusal` stands beside any of them. */
export type Decision = (
  | { readonly kind: 'step'; readonly step: Step }
  | {
      readonly kind: 'wait';
      readonly why: 'Lagging' | 'Paused' | 'Settling';
      /** All of them, as `namespace/name: why`. */
      readonly waitingFor: readonly string[];
      readonly message: string;
      /** When to look again although nothing changed. */
      readonly nextCheck: Date | undefined;
    }
  | { readonly kind: 'rest'; readonly message: string; readonly nextCheck: Date | undefined }
) & { readonly refusal?: Refusal };
