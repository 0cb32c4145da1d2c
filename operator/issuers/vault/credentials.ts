// Where the operator finds what it proves itself with: tokens of its own service account that the kubelet mounts, one file per audience, and
// tokens of Vault in Secrets of Tabard's namespace.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeyRef } from '../../../lib/api/tlsissuer.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import type { Store } from '../../../lib/kube/store.ts';
import { IssuerError } from '../problem.ts';

/** What proves the operator to others. Both reject or throw with IssuerError `CredentialMissing`. */
export interface Credentials {
  /** A fresh token of the operator's service account for an audience. */
  serviceAccountToken(audience: string): Promise<string>;
  /** One value of a Secret in Tabard's namespace. */
  secretValue(ref: KeyRef): string;
}

export interface CredentialsDeps {
  /** Folder of the mounted tokens. */
  readonly folder: string;
  /** Secrets of Tabard's namespace. */
  readonly secrets: Pick<Store<Secret>, 'get'>;
  readonly namespace: string;
}

/** A token is a few kilobytes at most. */
const mostBytes = 65_536;

/** Name of the file with the token for an audience; the chart writes the same (issuers.tokenAudiences). */
export function tokenFileName(audience: string): string {
  return audience.replace(/[^A-Za-z0-9._-]/g, '_');
}

/** Reads from the mounted folder and the store, anew each time: both change under us. */
export function mountedCredentials({ folder, secrets, namespace }: CredentialsDeps): Credentials {
  return {
    serviceAccountToken: async (audience) => {
      const path = join(folder, tokenFileName(audience));
      try {
        const { size } = await stat(path);
        const token = size > mostBytes ? '' : (await readFile(path, 'utf8')).trim();
        if (token !== '') return token;
      } catch (cause) {
        const detail = `the token of the service account for audience "${audience}" cannot be read: ${messageOf(cause)}`;
        throw new IssuerError('CredentialMissing', detail, { cause });
      }
      throw new IssuerError('CredentialMissing', `${path} holds no token`);
    },
    secretValue: ({ name, key }) => {
      const value = secrets.get(`${namespace}/${name}`)?.data?.[key];
      const text = value === undefined ? '' : Buffer.from(value, 'base64').toString('utf8').trim();
      if (text !== '') return text;
      throw new IssuerError('CredentialMissing', `Secret ${namespace}/${name} has no value under ${key}`);
    },
  };
}
