// Which certificates of a service are still in their time: the one in its Secret and those that it took the place of, which the Secret's
// annotations name. Whoever has an older key can go on using it until its certificate ends, so revoking a pod means all of them. Pure.
import { X509Certificate } from 'node:crypto';
import { secretKeys, written } from '../../lib/api/contract.ts';
import { rfc3339 } from '../../lib/api/time.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { BACKDATE_MS } from '../../lib/pki/ca.ts';
import { authorityKeyIdOf } from '../../lib/pki/x509.ts';
import { dataOf, serviceOf } from '../certificates/secret.ts';

/** A certificate that was issued to a service. */
export interface KnownCertificate {
  /** Upper-case hex. */
  readonly serial: string;
  readonly notAfter: Date;
  /** When it was issued; undefined for one that another took the place of. */
  readonly issuedAt: Date | undefined;
  /** Key id of the CA that signed it, upper-case hex; undefined where it states none or it is not known. */
  readonly authority: string | undefined;
}

/** Certificates before the present one that are remembered: one or two in ordinary times, more after many changes of names. */
const mostPrevious = 8;

const form = /^([0-9A-F]{1,40})\/([0-9A-F]{0,64})\/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$/;

/** Everything that a Secret of ours tells; empty when it is not ours or holds no certificate. */
export function certificatesIn(secret: Secret): readonly KnownCertificate[] {
  if (serviceOf(secret) === undefined) return [];
  const current = currentIn(secret);
  const previous = previousIn(secret.metadata.annotations ?? {});
  return current === undefined ? previous : [current, ...previous];
}

/** The annotation for a Secret whose certificate is replaced now: what it held, and what of the earlier ones has not ended. */
export function previousAnnotation(secret: Secret | undefined, now: Date): Readonly<Record<string, string>> {
  const earlier = secret === undefined ? [] : certificatesIn(secret);
  const kept = earlier.filter(({ notAfter }) => notAfter > now).slice(0, mostPrevious);
  if (kept.length === 0) return {};
  const texts = kept.map(({ serial, authority, notAfter }) => {
    return `${serial}/${authority ?? ''}/${rfc3339(notAfter)}`;
  });
  return { [written.previousSerials]: texts.join(',') };
}

function currentIn(secret: Secret): KnownCertificate | undefined {
  try {
    const leaf = new X509Certificate(dataOf(secret, secretKeys.certificate));
    return {
      serial: leaf.serialNumber,
      notAfter: leaf.validToDate,
      issuedAt: new Date(leaf.validFromDate.getTime() + BACKDATE_MS),
      authority: authorityKeyIdOf(leaf.raw),
    };
  } catch {
    // What is broken is issued anew; it names nobody.
    return undefined;
  }
}

/** What was written down by us; what somebody else wrote there and does not read counts as nothing. */
function previousIn(annotations: Readonly<Record<string, string>>): readonly KnownCertificate[] {
  const listed = (annotations[written.previousSerials] ?? '').split(',').slice(0, mostPrevious);
  return listed.flatMap((text) => {
    const [, serial, authority, notAfter] = form.exec(text) ?? [];
    if (serial === undefined || notAfter === undefined) return [];
    return [
      {
        serial,
        notAfter: new Date(notAfter),
        issuedAt: undefined,
        authority: authority === '' ? undefined : authority,
      },
    ];
  });
}
