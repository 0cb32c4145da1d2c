// Which CA signed a certificate, as the certificate says: the key id of its AKI (RFC 5280 section 4.2.1.1). For the sidecar, which has no
// node-forge; node:crypto does not show it.
import type { X509Certificate } from 'node:crypto';
import { derElements, derMembers, derTags } from './der.ts';

/** Content of the OID 2.5.29.35. */
const authorityKeyIdentifier = '551d23';
const extensionsTag = 0xa3;
const keyIdTag = 0x80;

/** The key id, upper-case hex; undefined when the certificate states none, or cannot be read. */
export function signerKeyId(certificate: X509Certificate): string | undefined {
  try {
    const [body] = derMembers(certificate.raw);
    const fields = body === undefined ? [] : derElements(body.content);
    const list = fields.find(({ tag }) => tag === extensionsTag);
    for (const extension of list === undefined ? [] : derMembers(list.content)) {
      const [id, ...rest] = derElements(extension.content);
      if (id?.content.toString('hex') !== authorityKeyIdentifier) continue;
      const value = rest.find(({ tag }) => tag === derTags.octetString);
      const parts = value === undefined ? [] : derMembers(value.content);
      return parts
        .find(({ tag }) => tag === keyIdTag)
        ?.content.toString('hex')
        .toUpperCase();
    }
  } catch {
    // What node:crypto has read and this cannot says nothing about its signer.
  }
  return undefined;
}
