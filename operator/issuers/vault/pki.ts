// The PKI engine of Vault: which CA a role signs with, whether our token may have it sign, and the signing of a request of ours.
// Never `issue` (Vault would make the key) and never `sign-verbatim` (no role would judge the names).
import { X509Certificate } from 'node:crypto';
import type { VaultIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { requestPem } from '../../../lib/pki/csr.ts';
import { formatIdentity } from '../../../lib/pki/identity.ts';
import type { KeylessOrder } from '../issuer.ts';
import { membersOf } from '../json.ts';
import { IssuerError } from '../problem.ts';
import type { RevokedLeaf } from '../revoke.ts';
import { authorityOf, type UpstreamAuthority } from '../staging.ts';
import { suffix, type VaultCall, type VaultReply } from './api.ts';
import { segmentOf, segmentsOf } from './path.ts';
import type { VaultSession } from './session.ts';

/** Vault's name for the issuer that an engine uses unless a role names another. */
const defaultIssuer = 'default';

/** One engine and one role of it. */
export class PkiEngine {
  readonly #session: VaultSession;
  readonly #mount: string;
  readonly #role: string;

  /** Throws IssuerError `SpecInvalid` for paths that are none. */
  constructor(session: VaultSession, { path, role }: Pick<VaultIssuerSpec, 'path' | 'role'>) {
    this.#session = session;
    this.#mount = segmentsOf('path of the PKI engine', path).join('/');
    this.#role = segmentOf('role', role);
  }

  /**
   * What the token may do, as Vault says. Rejects with IssuerError `Forbidden` when it may not sign with the role. Asked beforehand, because
   * a request that is refused costs a token that was logged in for nothing.
   */
  async rights(signal: AbortSignal): Promise<{ readonly mayReadRole: boolean }> {
    const paths = [this.#signPath(undefined), this.#rolePath()] as const;
    const call = { method: 'POST', path: 'sys/capabilities-self', body: { paths } } as const;
    const data = membersOf((await this.#asked(call, signal))?.body['data']);
    const granted = (path: string): readonly unknown[] => (Array.isArray(data[path]) ? data[path] : []);
    const [toSign, toRead] = [granted(paths[0]), granted(paths[1])];
    const may = (list: readonly unknown[], ...verbs: string[]): boolean =>
      ['root', 'sudo', ...verbs].some((each) => list.includes(each));
    // Where it may not even ask, it is told when it has something signed.
    if (toSign.length > 0 && !may(toSign, 'update', 'create')) {
      throw new IssuerError(
        'Forbidden',
        `the token may not sign: its policy grants ${toSign.join(', ')} on ${paths[0]}`,
      );
    }
    return { mayReadRole: may(toRead, 'read') };
  }

  /** The CA that the role signs with now: the one that it names if we may read it, else the engine's default. Rejects with IssuerError. */
  async authority(mayReadRole: boolean, signal: AbortSignal): Promise<UpstreamAuthority> {
    const ref = mayReadRole ? await this.#issuerRef(signal) : defaultIssuer;
    const path = `${this.#mount}/issuer/${ref}/json`;
    const reply = await this.#session.open({ method: 'GET', path }, signal);
    if (reply.status !== 200) {
      const detail = `the CA of the PKI engine at ${this.#mount} cannot be read (HTTP ${reply.status})${suffix(reply.said)}`;
      throw new IssuerError(reply.status === 404 ? 'NotFound' : 'AuthorityUnusable', detail);
    }
    const { certificate, ca_chain: above, issuer_id: id } = membersOf(reply.body['data']);
    const texts = [certificate, ...(Array.isArray(above) ? above : [])].filter((each) => typeof each === 'string');
    return authorityOf(certificatesOf(texts.join('\n')), typeof id === 'string' ? id : undefined);
  }

  /**
   * Has a leaf signed, by one CA of the engine if `issuer` names it, else by the role's. PEM of the leaf and of what is above it, not
   * judged yet. Rejects with IssuerError.
   */
  async sign(order: KeylessOrder, issuer: string | undefined, signal: AbortSignal): Promise<string> {
    const { identity, dnsNames, lifetimeMs, request } = order;
    const body = {
      csr: requestPem(request),
      // For roles that take names from here and not from the request.
      uri_sans: formatIdentity(identity),
      alt_names: dnsNames.join(','),
      exclude_cn_from_sans: true,
      ttl: `${Math.floor(lifetimeMs / 1_000)}s`,
      format: 'pem',
    };
    const reply = await this.#session.request({ method: 'POST', path: this.#signPath(issuer), body }, signal);
    if (reply.status !== 200) throw refusal(reply, this.#signPath(issuer));
    const { certificate, ca_chain: chain, issuing_ca: own } = membersOf(reply.body['data']);
    if (typeof certificate !== 'string') throw new IssuerError('BadAnswer', 'Vault answered without a certificate');
    const above = [own, ...(Array.isArray(chain) ? chain : [])].filter((each) => typeof each === 'string');
    return [certificate, ...above].join('\n');
  }

  /**
   * Has a leaf revoked. With the certificate where it is known: of roles that store none (`no_store`) the engine knows no serial. Rejects
   * with IssuerError.
   */
  async revoke(
    { serial, certificate }: Pick<RevokedLeaf, 'serial' | 'certificate'>,
    signal: AbortSignal,
  ): Promise<void> {
    const path = `${this.#mount}/revoke`;
    const even = serial.length % 2 === 0 ? serial : `0${serial}`;
    const body =
      certificate === undefined
        ? { serial_number: (even.toLowerCase().match(/../g) ?? []).join(':') }
        : { certificate: new X509Certificate(certificate).toString() };
    const reply = await this.#session.request({ method: 'POST', path, body }, signal);
    if (reply.status < 300) return;
    throw new IssuerError(
      reply.status === 404 ? 'NotFound' : 'NotRevoked',
      `${path}: HTTP ${reply.status}${suffix(reply.said)}`,
    );
  }

  #signPath(issuer: string | undefined): string {
    const signer = issuer === undefined ? '' : `issuer/${segmentOf('issuer', issuer)}/`;
    return `${this.#mount}/${signer}sign/${this.#role}`;
  }

  async #asked(call: VaultCall, signal: AbortSignal): Promise<VaultReply | undefined> {
    try {
      return await this.#session.request(call, signal);
    } catch (error) {
      if (error instanceof IssuerError && error.reason === 'Forbidden') return undefined;
      throw error;
    }
  }

  #rolePath(): string {
    return `${this.#mount}/roles/${this.#role}`;
  }

  async #issuerRef(signal: AbortSignal): Promise<string> {
    const path = this.#rolePath();
    const reply = await this.#session.request({ method: 'GET', path }, signal);
    if (reply.status === 404) throw new IssuerError('NotFound', `there is no role ${path}`);
    const { issuer_ref: ref } = membersOf(reply.body['data']);
    return typeof ref === 'string' && ref !== '' ? segmentOf('issuer of the role', ref) : defaultIssuer;
  }
}

function certificatesOf(pem: string): ReturnType<typeof parseCertificates> {
  try {
    return parseCertificates(pem);
  } catch (cause) {
    throw new IssuerError('AuthorityUnusable', 'the CA certificates of the engine are not readable', { cause });
  }
}

function refusal({ status, said }: VaultReply, path: string): IssuerError {
  const detail = `${path}: HTTP ${status}${suffix(said)}`;
  if (status === 404) return new IssuerError('NotFound', detail);
  return new IssuerError(status === 400 ? 'RoleRefuses' : 'BadAnswer', detail);
}
