// An issuer with a signer outside of this process, at work as the registry would have it, with followers in the hand of the test.
import { createPublicKey, X509Certificate } from 'node:crypto';
import type { TLSIssuer, TLSIssuerSpec, TLSIssuerStatus } from '../../lib/api/tlsissuer.ts';
import type { KeyAlgorithm } from '../../lib/api/tlspolicy.ts';
import { systemClock } from '../../lib/clock.ts';
import { generateKey } from '../../lib/pki/keys.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import type { IssuerState, LeafOrder, RunningIssuer, SignedLeaf } from '../../operator/issuers/issuer.ts';
import { IssuerError } from '../../operator/issuers/problem.ts';
import type { Followers, UpstreamAuthority } from '../../operator/issuers/staging.ts';

const HOUR_MS = 3_600_000;

/** What every issuer elsewhere is given. */
export interface SharedDeps {
  readonly clock: typeof systemClock;
  readonly logger: ReturnType<typeof createLogger>;
  readonly followers: Followers;
  readonly issuers: { get(name: string): TLSIssuer | undefined };
  readonly userAgent: string;
  readonly changed: () => void;
}

/** An issuer at work. */
export class RemoteIssuerBench {
  /** CAs (SHA-256) that some peer does not trust yet; empty = everybody trusts everything. */
  readonly distrusted = new Set<string>();
  /** Who has not moved to the newest CA. */
  unmoved: readonly string[] = [];
  /** Who still trusts a CA that has left the bundle. */
  trusting: readonly string[] = [];
  /** Of the TLSIssuer, as it is now. */
  annotations: Readonly<Record<string, string>> = {};
  changes = 0;
  readonly issuer: RunningIssuer;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  constructor(
    spec: TLSIssuerSpec,
    create: (object: TLSIssuer, deps: SharedDeps) => RunningIssuer,
    status?: TLSIssuerStatus,
  ) {
    const followers: Followers = {
      untrusting: (_issuer, { anchors }: UpstreamAuthority) =>
        anchors.some((each) => this.distrusted.has(each.fingerprint)) ? ['shop/web-1: does not have the new CA'] : [],
      unmoved: () => this.unmoved,
      trusting: () => this.trusting,
    };
    const object = issuerObject(spec, status);
    this.issuer = create(object, {
      clock: systemClock,
      logger: createLogger({ name: 'test', level: 'error' }),
      followers,
      issuers: { get: () => ({ ...object, metadata: { ...object.metadata, annotations: this.annotations } }) },
      userAgent: 'tabard-test/0',
      changed: () => (this.changes += 1),
    });
    this.#ended = this.issuer.run(this.#stop.signal);
  }

  get state(): IssuerState {
    return this.issuer.state(new Date());
  }

  /** The reason for which it cannot sign; `ready` when it can. */
  get word(): string {
    const { state } = this;
    return state.ready ? 'ready' : (state.fault ?? state.reason);
  }

  /** Waits until it can sign, or cannot for this reason; fails with what it says after a generous while. */
  async until(word: string): Promise<void> {
    await eventually(
      () => this.word === word,
      () => `${word} was expected: ${JSON.stringify(this.state)}`,
    );
  }

  /** Has a leaf signed. */
  sign(options: OrderOptions = {}): Promise<SignedLeaf> {
    return leafOrder(options).then((order) => this.issuer.sign(order, AbortSignal.timeout(60_000)));
  }

  /** The reason for which an order is refused, and the whole message. */
  async refusal(options: OrderOptions = {}): Promise<{ readonly reason: string; readonly message: string }> {
    try {
      await this.sign(options);
    } catch (error) {
      if (error instanceof IssuerError) return { reason: error.reason, message: error.message };
      throw error;
    }
    return { reason: 'signed', message: '' };
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.#ended;
  }
}

/** What a test may change of an order. */
export interface OrderOptions {
  readonly service?: string;
  readonly trustDomain?: string;
  readonly dnsNames?: readonly string[];
  readonly lifetimeMs?: number;
  readonly key?: KeyAlgorithm;
  readonly keys?: Awaited<ReturnType<typeof generateKey>>;
}

/** An order for `web` of namespace `shop`, for an hour. */
export async function leafOrder(options: OrderOptions = {}): Promise<LeafOrder> {
  const { service = 'web', trustDomain = 'cluster.local', lifetimeMs = HOUR_MS, key = 'ECDSA-P256' } = options;
  const { dnsNames = [service, `${service}.shop.svc.cluster.local`] } = options;
  const keys = options.keys ?? (await generateKey(key));
  return { ...keys, identity: { trustDomain, namespace: 'shop', service }, dnsNames, lifetimeMs, now: new Date() };
}

/** What the first certificate of a chain states. */
export function stated(chain: string): {
  readonly names: string | undefined;
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: X509Certificate['publicKey'];
} {
  const { subjectAltName, subject, issuer, publicKey } = new X509Certificate(chain);
  // Node leaves an empty subject out.
  return { names: subjectAltName, subject: subject ?? '', issuer, publicKey };
}

/** Whether a chain is of the key of an order. */
export function isKeyOf(chain: string, { privateKey }: Pick<LeafOrder, 'privateKey'>): boolean {
  return stated(chain).publicKey.equals(createPublicKey(privateKey));
}

/** A TLSIssuer as the API server would hand it out. */
export function issuerObject(spec: TLSIssuerSpec, status?: TLSIssuerStatus, name = 'corp'): TLSIssuer {
  return {
    apiVersion: 'tabard.dev/v1alpha1',
    kind: 'TLSIssuer',
    metadata: { name, uid: 'u', resourceVersion: '1', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec,
    ...(status === undefined ? {} : { status }),
  };
}

/** Waits for a condition; the bound is for a machine that does much else. */
export async function eventually(
  holds: () => boolean | Promise<boolean>,
  otherwise: () => string,
  boundMs = 90_000,
): Promise<void> {
  const endMs = performance.now() + boundMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(otherwise());
    await systemClock.sleep(50);
  }
}
