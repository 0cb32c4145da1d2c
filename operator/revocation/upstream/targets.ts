// Which certificates that a revocation means were signed by a CA that can be told: what Secrets and pod certificates say about who
// issued them. No I/O.
import { certificateSecretName, edgeSecretName, written } from '../../../lib/api/contract.ts';
import { plainSerial } from '../../../lib/api/revocations.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { parseIdentity } from '../../../lib/pki/identity.ts';
import type { Resolution } from '../resolve.ts';

/** A certificate with its issuer. */
export interface UpstreamTarget {
  /** Upper-case hex without leading zeros. */
  readonly serial: string;
  /** Name of the TLSIssuer. */
  readonly issuer: string;
  /** The Secret that holds it now; undefined where none does any more. */
  readonly secret: Secret | undefined;
}

/** Where it is read from. */
export interface TargetSources {
  /** Tabard's certificate Secrets. */
  readonly secrets: Store<Secret>;
  readonly issuers: Store<TLSIssuer>;
  readonly podCertificates: { ofSerial(serial: string): { readonly issuer: string } | undefined };
}

/** All of them, each once. */
export function upstreamTargets(
  { identity, serials }: Pick<Resolution, 'identity' | 'serials'>,
  sources: TargetSources,
): readonly UpstreamTarget[] {
  const wanted = new Set(serials.map(plainSerial));
  const found = identity === undefined ? sources.secrets.list() : secretsOf(identity, sources.secrets);
  const all = found.flatMap((secret) => certificatesOf(secret, sources));
  const ofPods = serials.flatMap((serial) => {
    const issuer = sources.podCertificates.ofSerial(serial)?.issuer;
    return issuer === undefined ? [] : [{ serial: plainSerial(serial), issuer, secret: undefined }];
  });
  const meant = [...ofPods, ...all].filter(({ serial }) => identity !== undefined || wanted.has(serial));
  const told = meant.filter(({ issuer }) => canBeTold(sources.issuers.get(issuer)));
  return [...new Map(told.map((target) => [target.serial, target])).values()];
}

function secretsOf(identity: string, secrets: Store<Secret>): readonly Secret[] {
  const named = parseIdentity(identity);
  if (named === undefined) return [];
  const names = [certificateSecretName(named.service), edgeSecretName(named.service)];
  return names.flatMap((name) => secrets.get(`${named.namespace}/${name}`) ?? []);
}

/** From annotations alone: of an earlier certificate they name the CA, and by that the issuer. */
function certificatesOf(secret: Secret, { issuers }: TargetSources): readonly UpstreamTarget[] {
  const notes = secret.metadata.annotations ?? {};
  const {
    [written.serial]: serial = '',
    [written.issuer]: issuer = '',
    [written.previousSerials]: before = '',
  } = notes;
  const earlier = before.split(',').flatMap((text): readonly UpstreamTarget[] => {
    const [old = '', authority = ''] = text.split('/');
    const signer = authority === '' ? undefined : issuerOfAuthority(authority, issuers);
    return signer === undefined ? [] : [{ serial: plainSerial(old), issuer: signer, secret: undefined }];
  });
  return serial === '' ? earlier : [...earlier, { serial: plainSerial(serial), issuer, secret }];
}

function issuerOfAuthority(keyId: string, issuers: Store<TLSIssuer>): string | undefined {
  return issuers.list().find(({ status }) => status?.authorities?.some((each) => each.keyId === keyId))?.metadata.name;
}

function canBeTold(issuer: TLSIssuer | undefined): boolean {
  return issuer?.spec.vault !== undefined || issuer?.spec.acme !== undefined;
}
