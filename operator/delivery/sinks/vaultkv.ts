// Vault's key-value engine, version 2, as a sink. What is ours is known by its custom metadata, which is written before the first
// version; writes are made on exactly the version that was looked at (check-and-set), so that two writers never overrule each other.
import { MANAGED_BY } from '../../../lib/api/contract.ts';
import type { CertificateSink } from '../../../lib/api/tlsissuer.ts';
import { membersOf } from '../../issuers/json.ts';
import { IssuerError } from '../../issuers/problem.ts';
import type { VaultCall, VaultReply } from '../../issuers/vault/api.ts';
import { segmentsOf } from '../../issuers/vault/path.ts';
import { VaultSession } from '../../issuers/vault/session.ts';
import { type Publishable, type Sink, SinkError } from './sink.ts';

/** Settings of such a sink. */
export type VaultKvSpec = NonNullable<CertificateSink['vaultKV']>;

const owner = { managedBy: 'managed-by', identity: 'tabard-identity' } as const;

/** One mount of one server. */
export class VaultKv implements Sink {
  readonly #mount: string;
  readonly #session: VaultSession;

  /** Throws SinkError for a mount that is no plain path. */
  constructor(spec: VaultKvSpec, deps: ConstructorParameters<typeof VaultSession>[1]) {
    this.#mount = plain('mount', spec.mount);
    this.#session = new VaultSession(spec, deps);
  }

  async publish(item: Publishable, signal: AbortSignal): Promise<'written' | 'unchanged'> {
    const name = plain('prefix', item.name);
    const version = await this.#claim(name, item, signal);
    if (version > 0 && (await this.#valueOf(name, signal)) === item.value) return 'unchanged';
    const body = { data: membersOf(JSON.parse(item.value)), options: { cas: version } };
    await this.#ask({ method: 'POST', path: `${this.#mount}/data/${name}`, body }, signal);
    return 'written';
  }

  /** Keeps the token alive while nothing is to be published. */
  async keep(signal: AbortSignal): Promise<void> {
    await this.#session.keep(signal);
  }

  close(): Promise<void> {
    this.#session.close();
    return Promise.resolve();
  }

  /** Sees to it that the name is ours; the number of its newest version, 0 when there is none. */
  async #claim(name: string, item: Publishable, signal: AbortSignal): Promise<number> {
    const path = `${this.#mount}/metadata/${name}`;
    const found = await this.#ask({ method: 'GET', path }, signal, 404);
    if (found.status === 404) {
      const custom = { [owner.managedBy]: MANAGED_BY, [owner.identity]: item.identity };
      await this.#ask({ method: 'POST', path, body: { custom_metadata: custom } }, signal);
      return 0;
    }
    const data = membersOf(found.body['data']);
    const custom = membersOf(data['custom_metadata']);
    if (custom[owner.managedBy] !== MANAGED_BY || custom[owner.identity] !== item.identity) {
      const marks = `custom metadata ${owner.managedBy}, ${owner.identity}`;
      throw new SinkError('NotOurs', `"${this.#mount}/${name}" is not ours (${marks}) and is left alone`);
    }
    return typeof data['current_version'] === 'number' ? data['current_version'] : 0;
  }

  /** The newest version as text; undefined when that was deleted. */
  async #valueOf(name: string, signal: AbortSignal): Promise<string | undefined> {
    const found = await this.#ask({ method: 'GET', path: `${this.#mount}/data/${name}` }, signal, 404);
    if (found.status === 404) return undefined;
    const stored = membersOf(membersOf(found.body['data'])['data']);
    const order = ['tls.crt', 'tls.key', 'ca.crt', 'serial', 'notAfter'];
    return JSON.stringify(Object.fromEntries(order.map((key) => [key, stored[key]])));
  }

  async #ask(call: VaultCall, signal: AbortSignal, also?: number): Promise<VaultReply> {
    const doing = `Vault, ${call.method} ${call.path}`;
    try {
      const reply = await this.#session.request(call, signal);
      if (reply.status < 300 || reply.status === also) return reply;
      throw new SinkError('Failed', `${doing}: HTTP ${reply.status} ${reply.said}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof IssuerError)) throw error;
      if (error.reason === 'Forbidden') {
        const rights = `create, read and update on ${this.#mount}/data/<prefix>/* and ${this.#mount}/metadata/<prefix>/*`;
        throw new SinkError('Refused', `${doing}: the token may not do this; let its policy grant ${rights}`, error);
      }
      const reason = error.reason === 'CredentialMissing' ? error.reason : 'Failed';
      throw new SinkError(error.reason === 'Unauthorized' ? 'Refused' : reason, `${doing}: ${error.message}`, error);
    }
  }
}

function plain(setting: string, path: string): string {
  try {
    return segmentsOf(setting, path).join('/');
  } catch (error) {
    throw new SinkError('Failed', error instanceof Error ? error.message : String(error), error);
  }
}
