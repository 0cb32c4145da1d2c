// Where revocation lists lie: one ConfigMap of Tabard's namespace per CA, with the list as it is served and what the next one follows from.
// The leader writes them, every replica serves them. Pure.
import { fieldManagers } from '../../../lib/api/contract.ts';
import { type RevocationReason, revocationReasons } from '../../../lib/api/tlsrevocation.ts';
import type { ConfigMap, KubeInput } from '../../../lib/kube/object.ts';
import type { CrlState, ListedSerial } from './next.ts';

/** Label with the key id (lower-case hex) of the CA whose list a ConfigMap holds. */
export const crlLabel = 'tabard.dev/crl-of';
/** Field manager of what revocation writes. */
export const crlManager = `${fieldManagers.operator}-crl`;

const keys = { list: 'list.crl', state: 'state.json' } as const;

/** Name of the ConfigMap. */
export function crlMapName(keyId: string): string {
  return `tabard-crl-${keyId.toLowerCase()}`;
}

/** The ConfigMap of a list. */
export function crlMap(namespace: string, keyId: string, list: Buffer, state: CrlState): KubeInput {
  return {
    metadata: { name: crlMapName(keyId), namespace, labels: { [crlLabel]: keyId.toLowerCase() } },
    binaryData: { [keys.list]: list.toString('base64') },
    data: { [keys.state]: JSON.stringify(state) },
  };
}

/** The list in a ConfigMap, DER; undefined when there is none. */
export function listIn(map: ConfigMap | undefined): Buffer | undefined {
  const text = map?.binaryData?.[keys.list];
  return text === undefined ? undefined : Buffer.from(text, 'base64');
}

/** What is remembered in a ConfigMap; undefined when it does not read, and the next list then starts anew. */
export function stateIn(map: ConfigMap | undefined): CrlState | undefined {
  try {
    return stateOf(JSON.parse(map?.data?.[keys.state] ?? ''));
  } catch {
    return undefined;
  }
}

type Members = Readonly<Record<string, unknown>>;

function stateOf(value: Members): CrlState | undefined {
  const [thisUpdate, nextUpdate] = [timeOf(value['thisUpdate']), timeOf(value['nextUpdate'])];
  const { number, entries } = value;
  if (thisUpdate === undefined || nextUpdate === undefined || !Array.isArray(entries)) return undefined;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) return undefined;
  return {
    number,
    thisUpdate,
    nextUpdate,
    entries: (entries as readonly Members[]).flatMap((each) => entryOf(each) ?? []),
  };
}

function entryOf({ serial, reason, revokedAt, notAfter, by }: Members): ListedSerial | undefined {
  const at = timeOf(revokedAt);
  if (typeof serial !== 'string' || !/^[0-9A-F]+$/.test(serial) || typeof by !== 'string' || at === undefined)
    return undefined;
  const known = revocationReasons.find((each): each is RevocationReason => each === reason) ?? 'unspecified';
  return { serial, reason: known, revokedAt: at, notAfter: timeOf(notAfter), by };
}

function timeOf(value: unknown): Date | undefined {
  const at = new Date(typeof value === 'string' ? value : Number.NaN);
  return Number.isNaN(at.getTime()) ? undefined : at;
}
