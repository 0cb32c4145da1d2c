// Runs the issuers that TLSIssuer objects describe, on the leader: one at work per object of a kind that has a factory here,
// started when the object comes, started anew when its spec changes, stopped when it goes. A new kind is one more factory.

import { sameJson } from '../../lib/api/equal.ts';
import type { TLSIssuer, TLSIssuerSpec } from '../../lib/api/tlsissuer.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Store } from '../../lib/kube/store.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import { aborted } from '../../lib/runtime/signals.ts';
import type { Issuer, RunningIssuer } from './issuer.ts';

/** Makes the issuer of one object. `changed` is to be called whenever what `state` says may have changed. Must not throw. */
export type IssuerFactory = (issuer: TLSIssuer, changed: () => void) => RunningIssuer;

/** Kinds of issuers: members of TLSIssuer.spec. */
export type IssuerKind = 'selfSigned' | 'ca' | 'vault' | 'acme' | 'kubernetesCSR';

export interface RegistryDeps {
  readonly issuers: Store<TLSIssuer>;
  readonly factories: Partial<Readonly<Record<IssuerKind, IssuerFactory>>>;
  readonly logger: Logger;
}

interface Running {
  readonly spec: TLSIssuerSpec;
  readonly issuer: RunningIssuer;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/** The kind of an issuer; undefined for one that names none of them. */
export function kindOf(spec: TLSIssuerSpec): IssuerKind | undefined {
  return (['selfSigned', 'ca', 'vault', 'acme', 'kubernetesCSR'] as const).find((kind) => spec[kind] !== undefined);
}

/** The issuers at work. `run` once. */
export class IssuerRegistry {
  readonly #deps: RegistryDeps;
  readonly #running = new Map<string, Running>();
  readonly #listeners = new Set<(name: string) => void>();

  constructor(deps: RegistryDeps) {
    this.#deps = deps;
  }

  /** The issuer at work for an object; undefined when none runs for it. */
  get(name: string): Issuer | undefined {
    return this.#running.get(name)?.issuer;
  }

  /** Told the name of an issuer whose state may have changed. Returns the function that ends it. */
  subscribe(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Works until the signal is aborted; every issuer has ended when it resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { issuers } = this.#deps;
    const end = issuers.subscribe((before, after) => this.#follow((after ?? before)?.metadata.name ?? '', after));
    await aborted(signal);
    end();
    const endings = [...this.#running.values()].map(({ ended }) => ended);
    for (const name of this.#running.keys()) this.#stop(name);
    await Promise.all(endings);
  }

  #follow(name: string, issuer: TLSIssuer | undefined): void {
    const running = this.#running.get(name);
    if (running !== undefined && issuer !== undefined && sameJson(running.spec, issuer.spec)) return;
    if (running !== undefined) this.#stop(name);
    if (issuer !== undefined) this.#start(name, issuer);
    this.#changed(name);
  }

  #start(name: string, object: TLSIssuer): void {
    const { factories, logger } = this.#deps;
    const kind = kindOf(object.spec);
    const factory = kind === undefined ? undefined : factories[kind];
    if (factory === undefined) return;
    const stop = new AbortController();
    const issuer = factory(object, () => this.#changed(name));
    const ended = issuer.run(stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) logger.error({ issuer: name, reason: messageOf(error) }, 'an issuer ended by itself');
    });
    this.#running.set(name, { spec: object.spec, issuer, stop, ended });
    logger.info({ issuer: name, kind }, 'issuer started');
  }

  #stop(name: string): void {
    this.#running.get(name)?.stop.abort(new Error('the issuer is no longer wanted'));
    this.#running.delete(name);
  }

  #changed(name: string): void {
    for (const listener of this.#listeners) listener(name);
  }
}
