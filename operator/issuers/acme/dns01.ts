// Solver dns-01 (RFC 8555 section 8.4) by dynamic update (RFC 2136): asks the name server which zone a name lies in, puts the
// digest there as a TXT record, and takes exactly that record away again. Updates are signed with TSIG when a key is given.
import { createHash, randomInt } from 'node:crypto';
import type { AcmeSolver } from '../../../lib/api/tlsissuer.ts';
import type { Clock } from '../../../lib/clock.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { deadline } from '../../../lib/runtime/deadline.ts';
import { exchange, type NameServer, parseNameServer } from './dns/exchange.ts';
import { type DnsMessage, queryMessage, readMessage, type TxtChange, types, updateMessage } from './dns/message.ts';
import { signMessage, type TsigKey, verifyAnswer } from './dns/tsig.ts';
import { AcmeError } from './problem.ts';
import type { ProofRequest, Solver } from './solvers.ts';

/** What the solver works with. */
export interface Rfc2136Deps {
  readonly clock: Clock;
  readonly client: Pick<KubeClient, 'get'>;
  /** Tabard's own namespace: the TSIG key's Secret lies there. */
  readonly namespace: string;
  readonly settings: NonNullable<AcmeSolver['dns01']>['rfc2136'];
}

const exchangeMs = 15_000;

/** One name server. */
export class Rfc2136Solver implements Solver {
  readonly #deps: Rfc2136Deps;

  constructor(deps: Rfc2136Deps) {
    this.#deps = deps;
  }

  present(requests: readonly ProofRequest[], signal: AbortSignal): Promise<void> {
    return this.#update('add', requests, signal);
  }

  withdraw(requests: readonly ProofRequest[], signal: AbortSignal): Promise<void> {
    return this.#update('delete', requests, signal);
  }

  async #update(kind: TxtChange['kind'], requests: readonly ProofRequest[], signal: AbortSignal): Promise<void> {
    const { settings, clock } = this.#deps;
    const limit = deadline(clock, exchangeMs, `the update at name server ${settings.nameserver}`, signal);
    try {
      const server = parseNameServer(settings.nameserver);
      if (server === undefined) throw new Error(`"${settings.nameserver}" is no host:port`);
      const key = await this.#key(limit.signal);
      const changes = requests.map((request) => changeFor(kind, request));
      const zones = new Map<string, TxtChange[]>();
      for (const change of changes) {
        const zone = await zoneOf(server, change.name, limit.signal);
        zones.set(zone, [...(zones.get(zone) ?? []), change]);
      }
      for (const [zone, inZone] of zones) await this.#send(server, zone, { changes: inZone, key }, limit.signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AcmeError) throw error;
      throw new AcmeError('DnsUpdateFailed', messageOf(error), { cause: error });
    } finally {
      limit.end();
    }
  }

  async #send(
    server: NameServer,
    zone: string,
    { changes, key }: { readonly changes: readonly TxtChange[]; readonly key: TsigKey | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#deps;
    const id = randomInt(0x1_0000);
    const plain = updateMessage(id, zone, changes);
    const signed = key === undefined ? undefined : signMessage(plain, key, clock.now());
    const bytes = await exchange(server, signed?.bytes ?? plain, signal);
    const answer = answerTo(id, bytes);
    // A refusal of our key comes unsigned (RFC 8945 section 5.3.2): it is told as what it is.
    if (key !== undefined && signed !== undefined && (answer.code === 'NOERROR' || answer.code === 'NOTAUTH')) {
      verifyAnswer(bytes, key, signed.mac, clock.now());
    }
    if (answer.code !== 'NOERROR') throw new Error(`the update of zone ${zone} was answered with ${answer.code}`);
  }

  async #key(signal: AbortSignal): Promise<TsigKey | undefined> {
    const { settings, client, namespace } = this.#deps;
    const { tsigKeyName: name, tsigSecretRef, tsigAlgorithm: algorithm = 'HMACSHA256' } = settings;
    if (name === undefined || tsigSecretRef === undefined) return undefined;
    const secret = await client.get(resources.secrets, { namespace, name: tsigSecretRef.name }, { signal });
    const text = Buffer.from(secret.data?.[tsigSecretRef.key] ?? '', 'base64')
      .toString('utf8')
      .trim();
    const bytes = Buffer.from(text, 'base64');
    // As name servers write it in their settings: base64 of the bytes.
    if (bytes.length === 0 || !/^[A-Za-z0-9+/]+=*$/.test(text)) {
      throw new Error(`key ${tsigSecretRef.key} of Secret ${tsigSecretRef.name} is not the base64 of a TSIG key`);
    }
    return { name, algorithm, secret: bytes };
  }
}

/** Section 8.4: the digest of the key authorization below `_acme-challenge`. */
function changeFor(kind: TxtChange['kind'], { domain, keyAuthorization }: ProofRequest): TxtChange {
  const text = createHash('sha256').update(keyAuthorization).digest('base64url');
  return { kind, name: `_acme-challenge.${domain}`, text };
}

/** The zone that a name lies in: its SOA comes as the answer, or beside the news that there is no such name (RFC 2308). */
async function zoneOf(server: NameServer, name: string, signal: AbortSignal): Promise<string> {
  const id = randomInt(0x1_0000);
  const { code, answers, authorities } = answerTo(
    id,
    await exchange(server, queryMessage(id, name, types.soa), signal),
  );
  const found = [...answers, ...authorities].find(({ type }) => type === types.soa);
  if (found !== undefined && (name === found.name || name.endsWith(`.${found.name}`))) return found.name;
  throw new Error(`it has no zone for ${name} (${code})`);
}

function answerTo(id: number, bytes: Buffer): DnsMessage {
  const answer = readMessage(bytes);
  if (answer.id !== id) throw new Error('the answer is to another question');
  return answer;
}
