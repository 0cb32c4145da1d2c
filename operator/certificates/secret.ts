// The Secret of a service's certificate: reading what is in one, judging whose it is, and the object that is written. Pure.
// What it holds is judged by the certificate itself; annotations are for people and for what a certificate cannot say.
import { createPrivateKey, type X509Certificate } from 'node:crypto';
import { annotations, certificateSecretName, labels, MANAGED_BY, secretKeys, written } from '../../lib/api/contract.ts';
import type { OwnerReference } from '../../lib/api/tlspolicy.ts';
import { formatDuration, parseDuration } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { KubeInput, KubeObject, Secret } from '../../lib/kube/object.ts';
import { bundleFingerprint, parseCertificates } from '../../lib/pki/bundle.ts';
import { parseAlternativeNames } from '../../lib/pki/identity.ts';
import { keyAlgorithmOf } from '../../lib/pki/keys.ts';
import { chainVerdict } from '../../lib/pki/verify.ts';
import { authorityKeyIdOf } from '../../lib/pki/x509.ts';
import type { SignedLeaf } from '../issuers/issuer.ts';
import type { CertificateFacts, CurrentSecret, Wanted } from './snapshot.ts';

/** Type of every Secret that is written; it cannot be changed on an existing one. */
const secretType = 'kubernetes.io/tls';

/** The service that a Secret of ours is for; undefined when it is not ours. */
export function serviceOf({ metadata }: Pick<KubeObject, 'metadata'>): string | undefined {
  const service = metadata.labels?.[labels.service];
  const ours = metadata.labels?.[labels.managedBy] === MANAGED_BY;
  return ours && service !== undefined && metadata.name === certificateSecretName(service) ? service : undefined;
}

/** What a Secret holds. `trustBundle` is the issuer's, PEM; undefined while the issuer cannot sign. */
export function currentSecret(secret: Secret | undefined, trustBundle: string | undefined): CurrentSecret {
  if (secret === undefined) return { kind: 'absent' };
  if (serviceOf(secret) === undefined) return { kind: 'foreign' };
  const owners = secret.metadata.ownerReferences ?? [];
  const recreate = secret.type !== secretType || secret.immutable === true;
  if (recreate)
    return { kind: 'broken', detail: `it is not a changeable Secret of type ${secretType}`, recreate, owners };
  try {
    const chain = parseCertificates(dataOf(secret, secretKeys.certificate));
    const facts = factsOf(chain, dataOf(secret, secretKeys.key));
    return { kind: 'held', facts, owners, trusted: isTrusted(chain, trustBundle), ...recorded(secret) };
  } catch (error) {
    return { kind: 'broken', detail: messageOf(error), recreate, owners };
  }
}

/** Reads Secrets and remembers what was in each: the same stored object under the same bundle is parsed once. */
export class SecretReader {
  readonly #seen = new WeakMap<Secret, { readonly trustBundle: string | undefined; readonly current: CurrentSecret }>();

  /** See `currentSecret`. */
  read(secret: Secret | undefined, trustBundle: string | undefined): CurrentSecret {
    if (secret === undefined) return { kind: 'absent' };
    const seen = this.#seen.get(secret);
    if (seen !== undefined && seen.trustBundle === trustBundle) return seen.current;
    const current = currentSecret(secret, trustBundle);
    this.#seen.set(secret, { trustBundle, current });
    return current;
  }
}

function factsOf([leaf]: readonly X509Certificate[], keyPem: string): CertificateFacts {
  if (leaf === undefined) throw new TypeError('it holds no certificate');
  if (!leaf.checkPrivateKey(readKey(keyPem))) throw new TypeError('its key is not the key of its certificate');
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

function readKey(pem: string) {
  try {
    return createPrivateKey(pem);
  } catch {
    // The parser's own message is not passed on: it could quote the key.
    throw new TypeError('its key does not parse');
  }
}

/** Signed by a CA of the bundle. Its time is not the question here; an issuer that cannot sign says nothing about it. */
function isTrusted([leaf, ...intermediates]: readonly X509Certificate[], trustBundle: string | undefined): boolean {
  if (leaf === undefined || trustBundle === undefined) return true;
  const bundle = parseCertificates(trustBundle);
  const verdict = chainVerdict({ leaf, intermediates, bundle, now: leaf.validFromDate });
  return verdict.ok || verdict.reason !== 'unknown_ca';
}

/** What was written down beside the certificate. What cannot be read counts as not written. */
function recorded(secret: Secret) {
  const notes = secret.metadata.annotations ?? {};
  const renewMs = Date.parse(notes[written.renewAt] ?? '');
  return {
    issuer: notes[written.issuer] ?? '',
    lifetimeMs: attempt(() => parseDuration(notes[written.lifetime] ?? '')),
    renewAt: Number.isNaN(renewMs) ? undefined : new Date(renewMs),
    bundleFingerprint: attempt(() => bundleFingerprint(parseCertificates(dataOf(secret, secretKeys.trustBundle)))),
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
}

/** The Secret of a new certificate: everything in one object, so that key and certificate are never seen apart. */
export function secretInput(content: SecretContent): KubeInput {
  const { namespace, service, leaf, keyPem, trustBundle, wanted, renewAt, owners } = content;
  const notes = {
    [written.serial]: leaf.serial,
    [written.notBefore]: seconds(leaf.notBefore),
    [written.notAfter]: seconds(leaf.notAfter),
    [written.renewAt]: seconds(renewAt),
    [written.issuer]: wanted.issuer,
    [written.lifetime]: formatDuration(wanted.lifetimeMs),
    [annotations.service]: service,
  };
  const data = {
    [secretKeys.certificate]: encoded(leaf.chain),
    [secretKeys.key]: encoded(keyPem),
    [secretKeys.trustBundle]: encoded(trustBundle),
  };
  return { metadata: { ...head(namespace, service, owners), annotations: notes }, type: secretType, data };
}

/** The same Secret with other owners and another trust bundle; certificate, key and annotations stay byte for byte. */
export function rewrittenInput(
  secret: Secret,
  service: string,
  trustBundle: string | undefined,
  owners: readonly OwnerReference[],
): KubeInput {
  const kept = Object.values(written).flatMap((name) => {
    const value = secret.metadata.annotations?.[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const bundle = trustBundle === undefined ? {} : { [secretKeys.trustBundle]: encoded(trustBundle) };
  const metadata = { ...head(secret.metadata.namespace ?? '', service, owners), annotations: Object.fromEntries(kept) };
  return { metadata, type: secretType, data: { ...secret.data, ...bundle } };
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

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
function seconds(at: Date): string {
  return at.toISOString().replace(/\.\d+Z$/, 'Z');
}
