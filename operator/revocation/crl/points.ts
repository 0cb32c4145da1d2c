// Where leaves say that the revocation list of their CA is, for issuers that ask for it (spec.crl.distributionPoint). No I/O.
import { names, ports } from '../../../lib/api/contract.ts';
import type { TLSIssuer } from '../../../lib/api/tlsissuer.ts';
import type { Store } from '../../../lib/kube/store.ts';
import type { CrlUrl } from '../../issuers/selfsigned.ts';
import { crlPath } from './server.ts';

/** For an issuer by its name: the URL of a CA's list, as far as the issuer's leaves are to state it now. */
export function distributionPoints(
  issuers: Pick<Store<TLSIssuer>, 'get'>,
  { namespace, clusterDomain }: { readonly namespace: string; readonly clusterDomain: string },
): (issuer: string) => CrlUrl {
  const host = `${names.operator}.${namespace}.svc.${clusterDomain}:${ports.crl}`;
  return (issuer) => (keyId) =>
    issuers.get(issuer)?.spec.crl?.distributionPoint === true ? `http://${host}${crlPath(keyId)}` : undefined;
}
