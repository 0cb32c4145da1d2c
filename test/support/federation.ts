// Members of other meshes: CAs without name constraints, as most have them, that can sign any identity, and leaves of any SPIFFE ID.
import { extension } from '../../lib/pki/asn1.ts';
import { privateKeyPem } from '../../lib/pki/keys.ts';
import { alternativeNames, extensionIds } from '../../lib/pki/names.ts';
import { type Foreign, foreign } from './foreign.ts';
import type { TestLeaf } from './pki.ts';

const day = 86_400_000;

/** A CA that may name anybody; below another one, if given. */
export function otherAuthority(name: string, by?: Foreign, now: Date = new Date()): Foreign {
  const times = { notBefore: new Date(now.getTime() - day), notAfter: new Date(now.getTime() + 365 * day) };
  return foreign({ name, ...(by === undefined ? {} : { by }), ...times });
}

/** A leaf with these URI names, followed by the certificates that its holder sends with it. */
export function otherLeaf(
  by: Foreign,
  uris: readonly string[],
  { sends = [], now = new Date() }: { readonly sends?: readonly Foreign[]; readonly now?: Date } = {},
): TestLeaf {
  const names = { uris, dnsNames: uris.length === 0 ? ['nobody'] : [], ipAddresses: [] };
  const [notBefore, notAfter] = [new Date(now.getTime() - 60_000), new Date(now.getTime() + day)];
  const extensions = [extension(extensionIds.alternativeNames, true, alternativeNames(names))];
  const leaf = foreign({ name: uris.join(' ').slice(-40) || 'nobody', by, ca: false, notBefore, notAfter, extensions });
  return {
    certificate: [leaf, ...sends].map(({ certificate }) => certificate.toString()).join(''),
    key: privateKeyPem(leaf.key),
    bundle: by.certificate.toString(),
    serial: leaf.certificate.serialNumber,
    notBefore,
    notAfter,
    identity: uris[0] ?? '',
  };
}
