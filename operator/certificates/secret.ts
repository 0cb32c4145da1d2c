// The Secret of a service's certificate: reading what is in one, judging whose it is, and the object that is written. Pure.
// What it holds is judged by the certificate itself; annotations are for people and for what a certificate cannot say.
import {
  annotations,
  certificateSecretName,
  delivered,
  labels,
  MANAGED_BY,
  secretKeys,
  written,
} from '../../lib/api/contract.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { OwnerReference } from '../../lib/api/tlspolicy.ts';
import { formatDuration, parseDuration } from '../../lib/clock.ts';
import { AppError, messageOf } from '../../lib/errors.ts';
import type { KubeInput, KubeObject, Secret } from '../../lib/kube/object.ts';
import { parseAlternativeNames } from '../../lib/pki/identity.ts';
import { keyAlgorithmOf, parsePrivateKey } from '../../lib/pki/keys.ts';
import { type Chain, keyMismatch, parseChain } from '../../lib/pki/pair.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';
import { authorityKeyIdOf } from '../../lib/pki/x509.ts';
import type { KeystoreParts } from '../delivery/keystores.ts';
import type { SignedLeaf } from '../issuers/issuer.ts';
import { ParsedBundles } from './bundles.ts';
import type { CertificateFacts, CurrentSecret, Wanted } from './snapshot.ts';

/** Type of every Secret that is written; it cannot be changed on an existing one. */
export const secretType = 'kubernetes.io/tls';

/** The service that a Secret of ours is for; undefined when it is not ours. */
export function serviceOf({ metadata }: Pick<KubeObject, 'metadata'>): string | undefined {
  const service = metadata.labels?.[labels.service];
  const ours = metadata.labels?.[labels.managedBy] === MANAGED_BY;
  return ours && service !== undefined && metadata.name === certificateSecretName(service) ? service : undefined;
}

/** What a Secret holds. `trustBundle` is the issuer's, PEM; undefined while the issuer cannot sign. */
export function currentSecret(
  secret: Secret | undefined,
  trustBundle: string | undefined,
  bundles: ParsedBundles = new ParsedBundles(),
): CurrentSecret {
  if (secret === undefined) return { kind: 'absent' };
  if (serviceOf(secret) === undefined) return { kind: 'foreign' };
  const owners = secret.metadata.ownerReferences ?? [];
  const recreate = secret.type !== secretType || secret.immutable === true;
  if (recreate)
    return { kind: 'broken', detail: `it is not a changeable Secret of type ${secretType}`, recreate, owners };
  try {
    const chain = parseChain(dataOf(secret, secretKeys.certificate));
    const facts = factsOf(chain, dataOf(secret, secretKeys.key));
    const trusted = isTrusted(chain, trustBundle, bundles);
    return { kind: 'held', facts, owners, trusted, ...recorded(secret, bundles) };
  } catch (error) {
    return { kind: 'broken', detail: messageOf(error), recreate, owners };
  }
}

/** What a certificate says, and that the key is its own; throws when it is not. */
export function factsOf(chain: Chain, keyPem: string): CertificateFacts {
  const { leaf } = chain;
  const mismatch = keyMismatch(chain, parsePrivateKey(keyPem));
  if (mismatch !== undefined) throw new AppError('pki_invalid', mismatch);
  const names = parseAlternativeNames(leaf.subjectAltName ?? '') ?? [{ kind: 'unreadable', value: '' }];
  const of = (kind: string): string[] => names.filter((name) => name.kind === kind).map(({ value }) => value);
  const uris = of('URI');
  const dnsNames = of('DNS').sort();
  return {
    serial: leaf.serialNumber,
    notBefore: leaf.validFromDate,
    notAfter: leaf.validToDate,
    key: keyAlgorithmOf(leaf.publicKey),
    uris,
    dnsNames,
    otherNames: names.length - uris.length - dnsNames.length,
    authorityKeyId: authorityKeyIdOf(leaf.raw),
  };
}

/** Signed by a CA of the bundle. Its time is not the question here; an issuer that cannot sign says nothing about it. */
function isTrusted(chain: Chain, trustBundle: string | undefined, bundles: ParsedBundles): boolean {
  if (trustBundle === undefined) return true;
  const bundle = bundles.of(trustBundle).members;
  const verdict = chainVerdict({ ...chain, bundle, now: chain.leaf.validFromDate });
  return verdict.ok || verdict.reason !== 'unknown_ca';
}

/** What was written down beside the certificate. What cannot be read counts as not written. */
export function recorded(secret: Secret, bundles: ParsedBundles) {
  const notes = secret.metadata.annotations ?? {};
  const renewMs = Date.parse(notes[written.renewAt] ?? '');
  return {
    issuer: notes[written.issuer] ?? '',
    lifetimeMs: attempt(() => parseDuration(notes[written.lifetime] ?? '')),
    renewAt: Number.isNaN(renewMs) ? undefined : new Date(renewMs),
    bundleFingerprint: attempt(() => bundles.of(dataOf(secret, secretKeys.trustBundle)).fingerprint),
  };
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** A value of a Secret as text; empty when it has none. */
export function dataOf(secret: Secret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
}

/** A certificate that this process made and wrote. */
export interface Made {
  /** What was sent. */
  readonly input: KubeInput & { readonly data: Readonly<Record<string, string>> };
  /** What it says, as it was put together. */
  readonly facts: CertificateFacts;
}

/** What goes into a Secret. */
export interface SecretContent {
  readonly namespace: string;
  readonly service: string;
  readonly leaf: SignedLeaf;
  /** PKCS#8 PEM of the leaf's own key. */
  readonly keyPem: string;
  readonly trustBundle: string;
  readonly wanted: Wanted;
  readonly renewAt: Date;
  readonly owners: readonly OwnerReference[];
  /** Further annotations. */
  readonly notes?: Readonly<Record<string, string>>;
  readonly keystores?: KeystoreParts;
}

/** The Secret of a new certificate: everything in one object, so that key and certificate are never seen apart. */
export function secretInput(content: SecretContent): KubeInput & Pick<Made['input'], 'data'> {
  const { namespace, service, leaf, keyPem, trustBundle, wanted, renewAt, owners } = content;
  const notes = {
    [written.serial]: leaf.serial,
    [written.notBefore]: rfc3339(leaf.notBefore),
    [written.notAfter]: rfc3339(leaf.notAfter),
    [written.renewAt]: rfc3339(renewAt),
    [written.issuer]: wanted.issuer,
    [written.lifetime]: formatDuration(wanted.lifetimeMs),
    [annotations.service]: service,
    ...content.notes,
    ...content.keystores?.notes,
  };
  const data = {
    [secretKeys.certificate]: encoded(leaf.chain),
    [secretKeys.key]: encoded(keyPem),
    [secretKeys.trustBundle]: encoded(trustBundle),
    ...content.keystores?.data,
  };
  return { metadata: { ...head(namespace, service, owners), annotations: notes }, type: secretType, data };
}

/** What is written anew around a certificate. */
export interface Surroundings {
  readonly service: string;
  /** Undefined = as it was. */
  readonly trustBundle: string | undefined;
  readonly owners: readonly OwnerReference[];
  readonly keystores: KeystoreParts;
}

/** The same Secret with other surroundings; certificate, key and what is noted of them stay byte for byte. */
export function rewrittenInput(secret: Secret, { service, trustBundle, owners, keystores }: Surroundings): KubeInput {
  const stays = (name: string): boolean => name !== written.keystores && name !== written.keystorePassword;
  const kept = Object.values(written).flatMap((name) => {
    const value = secret.metadata.annotations?.[name];
    return value === undefined || !stays(name) ? [] : [[name, value] as const];
  });
  const { [delivered.keystore]: _, [delivered.truststore]: __, ...data } = secret.data ?? {};
  const bundle = trustBundle === undefined ? {} : { [secretKeys.trustBundle]: encoded(trustBundle) };
  const annotated = { ...Object.fromEntries(kept), ...keystores.notes };
  const metadata = { ...head(secret.metadata.namespace ?? '', service, owners), annotations: annotated };
  return { metadata, type: secretType, data: { ...data, ...bundle, ...keystores.data } };
}

/** What a leaf says that was put together here; undefined for one of a signer elsewhere, which has to be read. */
export function factsAsOrdered(leaf: SignedLeaf, { uri, dnsNames, key }: Wanted): CertificateFacts | undefined {
  const { serial, notBefore, notAfter, authorityKeyId } = leaf;
  if (authorityKeyId === undefined) return undefined;
  return { serial, notBefore, notAfter, key, uris: [uri], dnsNames, otherNames: 0, authorityKeyId };
}

function head(namespace: string, service: string, owners: readonly OwnerReference[]) {
  return {
    name: certificateSecretName(service),
    namespace,
    labels: { [labels.managedBy]: MANAGED_BY, [labels.service]: service },
    ownerReferences: owners.map(({ apiVersion, kind, name, uid }) => ({ apiVersion, kind, name, uid })),
  };
}

function encoded(text: string): string {
  return Buffer.from(text).toString('base64');
}
