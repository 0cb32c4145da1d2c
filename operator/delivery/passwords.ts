// Passwords of keystores, from Secrets that users keep in the policy's namespace. No cache of the operator shows those, so they are
// asked for by name and remembered for a short time, or until they change where that is noticed (passwordwatch.ts).
import type { Clock } from '../../lib/clock.ts';
import type { KubeClient } from '../../lib/kube/client.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { resources } from '../../lib/kube/resources.ts';
import type { PasswordWatch } from './passwordwatch.ts';

/** Where a password stands, in the namespace of who uses it. */
export interface PasswordRef {
  readonly name: string;
  readonly key: string;
}

/** A password, or why there is none that a keystore can have. */
export type Password =
  | { readonly ok: true; readonly password: string }
  | { readonly ok: false; readonly message: string };

/** How long an answer holds, so that all services of a namespace ask once. */
const rememberedMs = 10_000;
/** Most answers that are remembered. */
const mostRemembered = 1_000;

/** Reads passwords. */
export class Passwords {
  readonly #client: Pick<KubeClient, 'get'>;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #watch: Pick<PasswordWatch, 'see'> | undefined;
  readonly #known = new Map<string, { readonly untilMs: number; readonly password: Password }>();

  /** `watch` is told which Secrets are used. */
  constructor(client: Pick<KubeClient, 'get'>, clock: Pick<Clock, 'now'>, watch?: Pick<PasswordWatch, 'see'>) {
    this.#client = client;
    this.#clock = clock;
    this.#watch = watch;
  }

  /** What was read of a Secret holds no longer. */
  forget(namespace: string, name: string): void {
    for (const key of this.#known.keys()) {
      const [ofNamespace, ofName] = JSON.parse(key) as readonly string[];
      if (ofNamespace === namespace && ofName === name) this.#known.delete(key);
    }
  }

  /** The password, at most ten seconds old. Rejects when the API server cannot be asked. */
  async of(namespace: string, ref: PasswordRef, signal: AbortSignal): Promise<Password> {
    this.#watch?.see(namespace, ref.name);
    const nowMs = this.#clock.now().getTime();
    const key = JSON.stringify([namespace, ref.name, ref.key]);
    const known = this.#known.get(key);
    if (known !== undefined && nowMs < known.untilMs) return known.password;
    const password = await this.#read(namespace, ref, signal);
    if (this.#known.size >= mostRemembered) this.#known.clear();
    this.#known.set(key, { untilMs: nowMs + rememberedMs, password });
    return password;
  }

  async #read(namespace: string, { name, key }: PasswordRef, signal: AbortSignal): Promise<Password> {
    const missing = (why: string): Password => ({
      ok: false,
      message: `the password of its keystores cannot be used: ${why}`,
    });
    try {
      const secret = await this.#client.get(resources.secrets, { namespace, name }, { signal });
      const value = secret.data?.[key];
      if (value === undefined) return missing(`Secret "${namespace}/${name}" has no key "${key}"`);
      const bytes = Buffer.from(value, 'base64');
      const password = bytes.toString('utf8');
      if (password === '') return missing(`key "${key}" of Secret "${namespace}/${name}" is empty`);
      // What "echo" without "-n" leaves; nobody could type it into the program that opens the file.
      if (/\p{Cc}/u.test(password) || !Buffer.from(password).equals(bytes))
        return missing(`key "${key}" of Secret "${namespace}/${name}" has a line break or is not text`);
      if (/[^ -~]/.test(password))
        return missing(`key "${key}" of Secret "${namespace}/${name}" is not plain ASCII, and Java opens no other`);
      return { ok: true, password };
    } catch (error) {
      if (isKube(error, 'NotFound')) return missing(`Secret "${namespace}/${name}" is not there`);
      throw error;
    }
  }
}
