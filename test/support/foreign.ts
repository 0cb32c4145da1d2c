// Certificates that Tabard would not write: roots and intermediates of other authorities, and leaves with something wrong.
import { generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import {
  bits,
  extension,
  type Node,
  octets,
  oid,
  positive,
  primitive,
  read,
  sequence,
  set,
  Type,
  tagged,
  time,
} from '../../lib/pki/asn1.ts';
import { extensionIds } from '../../lib/pki/names.ts';
import { signed } from '../../lib/pki/signature.ts';
import { keyIdOf } from '../../lib/pki/x509.ts';

/** A certificate with its key, and whose it is. */
export interface Foreign {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
  readonly name: Node;
}

/** What a foreign certificate states. Everything has a default that is good for a CA without constraints. */
export interface ForeignOptions {
  readonly name: string;
  /** Default: itself. */
  readonly by?: Foreign;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** RFC 5280 wants them not critical. Default false. */
  readonly keyIdsCritical?: boolean;
  /** Further extensions. */
  readonly extensions?: readonly Node[];
  readonly key?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
}

/** Makes one, with a fresh P-256 key unless another is given. */
export function foreign(options: ForeignOptions): Foreign {
  const { name, by, ca = true, pathLength, notBefore, notAfter, keyIdsCritical = false, extensions = [] } = options;
  const { privateKey, publicKey } = options.key ?? generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = sequence(set(sequence(oid('2.5.4.3'), primitive(Type.UTF8, name))));
  const signer = by ?? { key: privateKey, name: subject };
  const limit = pathLength === undefined ? [] : [primitive(Type.INTEGER, Buffer.of(pathLength))];
  const constraints = ca ? [primitive(Type.BOOLEAN, Buffer.of(0xff)), ...limit] : [];
  const signerKeyId = by === undefined ? keyIdOf(publicKey) : keyIdOf(by.certificate.publicKey);
  const all = [
    extension(extensionIds.basicConstraints, true, sequence(...constraints)),
    extension(extensionIds.keyUsage, true, ca ? bits(Buffer.of(0x06), 1) : bits(Buffer.of(0x80), 7)),
    extension(extensionIds.subjectKeyId, keyIdsCritical, octets(keyIdOf(publicKey))),
    extension(extensionIds.authorityKeyId, keyIdsCritical, sequence(tagged(0, signerKeyId.toString('latin1')))),
    ...extensions,
  ];
  const der = signed(
    (algorithm) =>
      sequence(
        tagged(0, [primitive(Type.INTEGER, Buffer.of(2))]),
        positive(keyIdOf(publicKey).subarray(0, 8)),
        algorithm,
        signer.name,
        sequence(time(notBefore), time(notAfter)),
        subject,
        read(publicKey.export({ type: 'spki', format: 'der' })),
        tagged(3, [sequence(...all)]),
      ),
    signer.key,
  );
  return { certificate: new X509Certificate(der), key: privateKey, name: subject };
}
