// Identities: the SPIFFE ID of a service (SPIFFE-ID section 2, narrowed to the one path form that Tabard issues), the DNS
// names its certificate carries, and reading the identity out of a peer's certificate. Strict: what is not exactly ours is
// no identity. Shared by the operator and the sidecars; pure.
import { spiffeId } from '../api/contract.ts';

/** A service of the mesh as its certificate names it. */
export interface Identity {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly service: string;
}

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const trustDomainForm = new RegExp(`^(?=.{1,253}$)${label}(?:\\.${label})*$`);
const spiffeForm = new RegExp(`^spiffe://((?=[^/]{1,253}/)${label}(?:\\.${label})*)/ns/(${label})/svc/(${label})$`);
const dnsNameForm = trustDomainForm;
const serviceForm = /^[a-z0-9](?:[a-z0-9-]{0,54}[a-z0-9])?$/;

/** Whether a text can be a trust domain: a lower-case DNS name, since the CA's name constraint is put on it as a host. */
export function isTrustDomain(text: string): boolean {
  return trustDomainForm.test(text);
}

/** Whether a text can be the name of a service: a DNS label that leaves room for the `tabard-` of its Secret's name. */
export function isServiceName(text: string): boolean {
  return serviceForm.test(text);
}

/** The SPIFFE URI of an identity. */
export function formatIdentity({ trustDomain, namespace, service }: Identity): string {
  return spiffeId(trustDomain, namespace, service);
}

/** The identity that a SPIFFE URI names; undefined unless it has exactly the form that Tabard issues. */
export function parseIdentity(uri: string): Identity | undefined {
  const [, trustDomain, namespace, service] = spiffeForm.exec(uri) ?? [];
  if (trustDomain === undefined || namespace === undefined || service === undefined) return undefined;
  return { trustDomain, namespace, service };
}

/** A SPIFFE ID of any mesh: its trust domain and its path, which begins with a slash. */
export interface SpiffeId {
  readonly trustDomain: string;
  readonly path: string;
}

/** Longest SPIFFE ID (SPIFFE-ID section 2.3). */
const longestSpiffeId = 2_048;
const anySpiffeForm = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[a-zA-Z0-9._-]+)+)$/;
const accountForm = new RegExp(`^/ns/${label}/sa/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$`);

/** A SPIFFE ID of a workload (SPIFFE-ID section 2, X509-SVID section 2), of whichever form its mesh gives the path; else undefined. */
export function parseSpiffeId(uri: string): SpiffeId | undefined {
  const [, trustDomain, path] = uri.length > longestSpiffeId ? [] : (anySpiffeForm.exec(uri) ?? []);
  if (trustDomain === undefined || path === undefined) return undefined;
  return path.split('/').some((segment) => segment === '.' || segment === '..') ? undefined : { trustDomain, path };
}

/** Whether a path names a service account, as meshes that go by those write it: `/ns/<namespace>/sa/<account>`. */
export function isAccountPath(path: string): boolean {
  return accountForm.test(path);
}

/** One entry of a certificate's subject alternative names, as node:crypto prints it (`DNS`, `URI`, `IP Address`, …). */
export interface AlternativeName {
  readonly kind: string;
  readonly value: string;
}

/**
 * The names in an `X509Certificate.subjectAltName` text. Node quotes values that could be mistaken for a separator
 * (CVE-2021-44532); undefined when any byte of the text does not fit that form.
 */
export function parseAlternativeNames(text: string): readonly AlternativeName[] | undefined {
  const found: AlternativeName[] = [];
  const entry = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
  while (entry.lastIndex < text.length) {
    const [, kind, value] = entry.exec(text) ?? [];
    if (kind === undefined || value === undefined) return undefined;
    found.push({ kind, value });
  }
  return found;
}

/**
 * The SPIFFE URI that a certificate proves: it must carry exactly one URI name (X509-SVID section 2) of Tabard's form.
 * Undefined otherwise. Says nothing about trust: check the chain first (verify.ts).
 */
export function identityOf(certificate: { readonly subjectAltName: string | undefined }): string | undefined {
  const uri = onlyUri(certificate);
  return uri === undefined || parseIdentity(uri) === undefined ? undefined : uri;
}

/** As `identityOf`, for a SPIFFE ID of any form. */
export function spiffeIdOf(certificate: { readonly subjectAltName: string | undefined }): string | undefined {
  const uri = onlyUri(certificate);
  return uri === undefined || parseSpiffeId(uri) === undefined ? undefined : uri;
}

function onlyUri({ subjectAltName }: { readonly subjectAltName: string | undefined }): string | undefined {
  const uris = (parseAlternativeNames(subjectAltName ?? '') ?? []).filter(({ kind }) => kind === 'URI');
  return uris.length === 1 ? uris[0]?.value : undefined;
}

/** A Kubernetes Service that selects a service's pods. */
export interface NamedService {
  readonly name: string;
  /** `clusterIP: None`: its pods have DNS names of their own below the Service's. */
  readonly headless: boolean;
}

/** What the DNS names of one certificate follow from. */
export interface NamesRequest {
  readonly namespace: string;
  readonly clusterDomain: string;
  readonly services: readonly NamedService[];
  /** TLSPolicy `certificate.dnsNames`. */
  readonly extra?: readonly string[];
}

/**
 * The DNS names of a service's certificate, sorted and without repeats: `n`, `n.ns`, `n.ns.svc` and the full name of each
 * Service. The per-pod names of a headless Service are stated as one wildcard per form: all pods share the certificate, and
 * naming each would re-issue it on every scaling step (docs/adr/0004-pki.md).
 */
export function dnsNamesOf({ namespace, clusterDomain, services, extra = [] }: NamesRequest): readonly string[] {
  const names = new Set(extra);
  for (const { name, headless } of services) {
    const qualified = [`${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.${clusterDomain}`];
    for (const each of [name, ...qualified]) names.add(each);
    if (headless) for (const each of qualified) names.add(`*.${each}`);
  }
  return [...names].filter((name) => !isNameElsewhere(name, namespace, clusterDomain)).sort();
}

/**
 * Whether a DNS name is one that Kubernetes gives to something of another namespace, or to no Service at all: who may write a policy or
 * a Service in one namespace must not get a certificate for another. Only forms that end in `svc` or the cluster's domain can be told; in
 * a namespace called `svc` even a headless Service's own wildcard `*.n.svc` would stand for the Services of namespace `n`.
 */
export function isNameElsewhere(name: string, namespace: string, clusterDomain: string): boolean {
  const suffix = [`.svc.${clusterDomain}`, '.svc'].find((each) => name.endsWith(each));
  if (suffix === undefined) return name === 'svc' || name === clusterDomain || name.endsWith(`.${clusterDomain}`);
  const labels = name.slice(0, -suffix.length).split('.');
  // `n.svc` is the short form of Service `n` in a namespace called `svc`.
  if (labels.length === 1) return suffix !== '.svc' || namespace !== 'svc';
  return labels.at(-1) !== namespace;
}

/** Whether a text may stand in a certificate as a DNS name; a wildcard only as the whole first label of a longer name. */
export function isDnsName(text: string): boolean {
  return dnsNameForm.test(text.startsWith('*.') && text.split('.').length > 2 ? text.slice(2) : text);
}
