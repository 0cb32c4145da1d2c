// The Secret that holds a service's challenges: its name, what is in it, and the view that every replica has of all of them. Pure
// but for the cache that it reads.
import { labels, MANAGED_BY } from '../../../lib/api/contract.ts';
import type { AcmeChallenge } from '../../../lib/api/control.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';

/** Namespaces and services are labels without dots: two of them never share a name. */
const prefix = 'tabard-challenges';
const dataKey = 'challenges.json';

/** Name of a service's Secret in Tabard's own namespace. */
export function challengesSecretName({
  namespace,
  service,
}: {
  readonly namespace: string;
  readonly service: string;
}): string {
  return `${prefix}.${namespace}.${service}`;
}

/** Whether a Secret of Tabard's own namespace is one of these. */
export function isChallengesSecret({ metadata }: Pick<Secret, 'metadata'>): boolean {
  return metadata.name.startsWith(`${prefix}.`) && metadata.labels?.[labels.managedBy] === MANAGED_BY;
}

/** The Secret's data. */
export function challengesValue(challenges: readonly AcmeChallenge[], until: Date): Readonly<Record<string, string>> {
  const text = JSON.stringify({ until: until.toISOString(), challenges });
  return { [dataKey]: Buffer.from(text).toString('base64') };
}

/** What a Secret holds that has not run out. What cannot be read counts as nothing. */
export function challengesIn({ data }: Pick<Secret, 'data'>, now: Date): readonly AcmeChallenge[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(data?.[dataKey] ?? '', 'base64').toString('utf8'));
    if (typeof value !== 'object' || value === null || !('until' in value) || !('challenges' in value)) return [];
    const { until, challenges } = value;
    if (!(Date.parse(String(until)) > now.getTime()) || !Array.isArray(challenges)) return [];
    return challenges.filter(isChallenge);
  } catch {
    return [];
  }
}

/** Challenges of all services, from the cache. */
export class ChallengeBoard {
  readonly #secrets: Pick<Store<Secret>, 'get' | 'subscribe'>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #namespace: string;

  /** `secrets` are all of `namespace`, Tabard's own. */
  constructor(secrets: Pick<Store<Secret>, 'get' | 'subscribe'>, namespace: string, clock: Pick<Clock, 'now'>) {
    this.#secrets = secrets;
    this.#namespace = namespace;
    this.#clock = clock;
  }

  /** What the sidecars of a service are to answer now. */
  of(service: { readonly namespace: string; readonly service: string }): readonly AcmeChallenge[] {
    const secret = this.#secrets.get(`${this.#namespace}/${challengesSecretName(service)}`);
    return secret === undefined || !isChallengesSecret(secret) ? [] : challengesIn(secret, this.#clock.now());
  }

  /** Calls `listener` with the service whose challenges changed. Returns the function that ends it. */
  subscribe(listener: (service: { readonly namespace: string; readonly service: string }) => void): () => void {
    return this.#secrets.subscribe((before, after) => {
      const secret = after ?? before;
      const [head, namespace, service] = secret?.metadata.name.split('.') ?? [];
      if (head === prefix && namespace !== undefined && service !== undefined) listener({ namespace, service });
    });
  }
}

function isChallenge(value: unknown): value is AcmeChallenge {
  if (typeof value !== 'object' || value === null || !('type' in value)) return false;
  const texts = (...names: readonly string[]): boolean =>
    names.every((name) => typeof (value as Readonly<Record<string, unknown>>)[name] === 'string');
  if (value.type === 'http-01') return texts('token', 'keyAuthorization');
  return value.type === 'tls-alpn-01' && texts('token', 'domain', 'certificate', 'key');
}
