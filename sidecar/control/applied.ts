// What a report says of the state that this proxy applies. Pure.
import type { SelfSnapshot } from '../../lib/api/control.ts';
import { fingerprint } from '../../lib/pki/bundle.ts';
import { signerKeyId } from '../../lib/pki/keyid.ts';
import { enforcedForm } from '../authorize.ts';
import type { SidecarConfig } from '../config.ts';
import type { Generation } from '../tls/generation.ts';
import type { Applied } from './status.ts';

/** What is in force. */
export interface InForce {
  readonly config: Pick<SidecarConfig, 'podName' | 'podUid'>;
  readonly self: SelfSnapshot | undefined;
  readonly generation: Generation | undefined;
  /** Number of the revocations; undefined while nothing was told of any. */
  readonly revocations: number | undefined;
  /** Tokens of challenges that are answered. */
  readonly challenges: readonly string[];
}

/** The state as it is reported; undefined while there is none. */
export function appliedState({ config, self, generation, revocations, challenges }: InForce): Applied | undefined {
  if (self === undefined || generation === undefined) return undefined;
  const { podName, podUid } = config;
  const { bundle, bundleFingerprint, serial, notAfter } = generation;
  const issuerKeyId = signerKeyId(generation.parts.credentials.leaf);
  return {
    podName,
    podUid,
    selfVersion: self.version,
    bundleFingerprint,
    authorities: bundle.map(fingerprint),
    serial,
    ...(issuerKeyId === undefined ? {} : { issuerKeyId }),
    notAfter: notAfter.toISOString(),
    ...(revocations === undefined ? {} : { revocations }),
    ...(challenges.length === 0 ? {} : { challenges }),
    authorization: enforcedForm,
  };
}
