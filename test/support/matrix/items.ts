// The matrix of everything that Tabard writes: kinds of keys of CA and leaf, names, lifetimes and dates that are easily got wrong. Every kind
// of key, name and date meets every other; the keys are made once per kind, since making RSA keys would take longer than all the rest.
import { X509Certificate } from 'node:crypto';
import type { KeyAlgorithm } from '../../../lib/api/tlspolicy.ts';
import type { RevocationReason } from '../../../lib/api/tlsrevocation.ts';
import { type Authority, createAuthority, issueLeaf } from '../../../lib/pki/ca.ts';
import { reasonCodes, signCrl } from '../../../lib/pki/crl.ts';
import { createRequest } from '../../../lib/pki/csr.ts';
import { generateKey, type KeyPair } from '../../../lib/pki/keys.ts';

/** One thing that was written, and what it is meant to say. */
export interface Item {
  readonly name: string;
  readonly kind: 'ca' | 'leaf' | 'csr' | 'crl';
  readonly der: Buffer;
  /** Name of the CA's item; a CA's own. Empty for a request. */
  readonly issuer: string;
  /** A moment at which it is valid. */
  readonly at: Date;
  /** Upper-case hex; empty for a request. */
  readonly serial: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

/** Every kind of key that a certificate of ours can have. */
export const algorithms: readonly KeyAlgorithm[] = [
  'ECDSA-P256',
  'ECDSA-P384',
  'RSA-2048',
  'RSA-3072',
  'RSA-4096',
  'Ed25519',
];

const minute = 60_000;
const day = 1_440 * minute;

/** When things are made. Backdating and lifetimes carry some of them over the edge and leave others on its side. */
const dates: Readonly<Record<string, Date>> = {
  'leap day': new Date('2028-02-29T12:00:00Z'),
  'day before a leap day': new Date('2028-02-28T23:59:30Z'),
  'last minutes of 2049': new Date('2049-12-31T23:58:00Z'),
  'first minutes of 2050': new Date('2050-01-01T00:01:00Z'),
  'end of a year': new Date('2027-12-31T23:59:59Z'),
};

const lifetimes: Readonly<Record<string, number>> = { '10m': 10 * minute, '24h': day, '90d': 90 * day };

const label = (letter: string, length: number): string => letter.repeat(length);
/** 253 characters, the longest that a DNS name can have (RFC 1035 section 2.3.4). */
const longest = [label('a', 63), label('b', 63), label('c', 63), label('d', 61)].join('.');

interface Names {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly service: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

const shop = { trustDomain: 'cluster.local', namespace: 'shop', service: 'web', dnsNames: [], ipAddresses: [] };
const forms = (name: string): readonly string[] => [name, `${name}.shop.svc`, `*.${name}.shop.svc.cluster.local`];
const names: Readonly<Record<string, Names>> = {
  'identity alone': shop,
  'sixty DNS names': { ...shop, dnsNames: Array.from({ length: 20 }, (_, at) => forms(`web-${at}`)).flat() },
  'IPv4 and IPv6': { ...shop, dnsNames: ['web'], ipAddresses: ['10.0.0.1', 'fd00::1', '::', '2001:db8::1:0:0:1'] },
  'the longest names': {
    trustDomain: longest,
    namespace: label('n', 63),
    service: label('s', 56),
    dnsNames: [longest, `*.${longest.slice(2)}`],
    ipAddresses: [],
  },
};

/** Makes the whole matrix: some 420 items. */
export async function matrix(): Promise<readonly Item[]> {
  const pairs = new Map<KeyAlgorithm, KeyPair>();
  for (const algorithm of algorithms) pairs.set(algorithm, await generateKey(algorithm));
  const items: Item[] = [];
  for (const [turn, [date, now]] of Object.entries(dates).entries()) {
    for (const [at, key] of algorithms.entries()) {
      // The longest domain needs a CA of its own; each kind of key has it at one of the dates.
      const domains = at % Object.keys(dates).length === turn ? [shop.trustDomain, longest] : [shop.trustDomain];
      for (const trustDomain of domains) {
        const authority = await createAuthority({ trustDomain, key, now, lifetimeMs: 100 * day });
        const name = `CA ${key} of ${trustDomain === longest ? 'the longest domain' : trustDomain}, ${date}`;
        const signing = { authority, name, now, turn: turn + at };
        items.push(caItem(name, authority, now), ...leaves(signing, pairs), ...lists(signing));
      }
    }
  }
  return [...items, ...requests(pairs)];
}

interface Signing {
  readonly authority: Authority;
  readonly name: string;
  readonly now: Date;
  /** Which kind of key comes first: every CA begins with another. */
  readonly turn: number;
}

function leaves({ authority, name, now, turn }: Signing, pairs: ReadonlyMap<KeyAlgorithm, KeyPair>): readonly Item[] {
  const fitting = Object.entries(names).filter(([, { trustDomain }]) => trustDomain === authority.trustDomain);
  const wishes = fitting.flatMap(([which, wanted]) =>
    Object.entries(lifetimes).map(([life, lifetimeMs]) => ({ what: `${which}, ${life}`, wanted, lifetimeMs })),
  );
  return wishes.map(({ what, wanted, lifetimeMs }, at): Item => {
    const key = algorithms[(turn + at) % algorithms.length] ?? 'ECDSA-P256';
    const publicKey = pairs.get(key)?.publicKey;
    if (publicKey === undefined) throw new Error(`there is no ${key} key`);
    // Every second one says where the list of its CA is.
    const crl = at % 2 === 0 ? {} : { crlUrl: 'http://crl.example/lists/0123abcd.crl' };
    const { certificate } = issueLeaf({ ...wanted, ...crl, authority, publicKey, identity: wanted, now, lifetimeMs });
    const facts = { name: `leaf ${key} by ${name}: ${what}`, kind: 'leaf', issuer: name } as const;
    return { ...certificateItem(certificate, now), ...said(wanted), ...facts };
  });
}

const reasons = Object.keys(reasonCodes).filter((each): each is RevocationReason => each in reasonCodes);

/** Two lists of each CA: an empty one, and one with every reason. Their number stands for the serial, the serials for names. */
function lists({ authority, name, now }: Signing): readonly Item[] {
  const serials = reasons.map((_, at) => (at * 7_919 + 128).toString(16).toUpperCase());
  return [[], serials].map((revoked, number): Item => {
    const entries = revoked.map((serial, at) => ({
      serial,
      revokedAt: new Date(now.getTime() - at * day),
      reason: reasons[at] ?? 'unspecified',
    }));
    const times = { notBefore: now, notAfter: new Date(now.getTime() + day) };
    const der = signCrl(
      {
        issuerName: authority.name,
        authorityKeyId: Buffer.from(authority.keyId, 'hex'),
        number: number + 127,
        thisUpdate: times.notBefore,
        nextUpdate: times.notAfter,
        entries,
      },
      authority.privateKey,
    );
    const facts = { name: `list of ${revoked.length} by ${name}`, kind: 'crl', issuer: name, at: now } as const;
    const serial = (number + 127).toString(16).toUpperCase();
    return { ...facts, ...times, der, serial, uris: [], dnsNames: revoked, ipAddresses: [] };
  });
}

const said = (wanted: Names): Pick<Item, 'uris' | 'dnsNames' | 'ipAddresses'> => ({
  uris: [`spiffe://${wanted.trustDomain}/ns/${wanted.namespace}/svc/${wanted.service}`],
  dnsNames: wanted.dnsNames,
  ipAddresses: wanted.ipAddresses,
});

function certificateItem(pem: string, at: Date) {
  const certificate = new X509Certificate(pem);
  const { raw: der, serialNumber: serial, validFromDate: notBefore, validToDate: notAfter } = certificate;
  return { der, at, serial, notBefore, notAfter };
}

function caItem(name: string, { certificate }: Authority, at: Date): Item {
  const none = { uris: [], dnsNames: [], ipAddresses: [] };
  return { ...certificateItem(certificate, at), ...none, name, kind: 'ca', issuer: name };
}

function requests(pairs: ReadonlyMap<KeyAlgorithm, KeyPair>): readonly Item[] {
  const at = new Date('2026-11-22T00:00:00Z');
  return [...pairs].flatMap(([algorithm, { privateKey }]) =>
    Object.entries(names).map(([which, wanted]): Item => {
      const asked = said(wanted);
      const none = { issuer: '', serial: '', at, notBefore: at, notAfter: at };
      return {
        ...none,
        ...asked,
        name: `request ${algorithm}: ${which}`,
        kind: 'csr',
        der: createRequest(asked, privateKey),
      };
    }),
  );
}
