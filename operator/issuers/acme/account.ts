// The account of one issuer at its ACME server (RFC 8555 section 7.3): its key lies in a Secret of Tabard's own namespace, made
// if it is absent; the account is found by its key, or registered. A key is replaced in steps that survive a crash: the next key is
// written down before the server hears of it, and the old one goes only after the server has taken the next (section 7.3.5).
import type { KeyObject } from 'node:crypto';
import { annotations, fieldManagers, labels, MANAGED_BY, secretKeys, written } from '../../../lib/api/contract.ts';
import type { AcmeIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { KubeClient } from '../../../lib/kube/client.ts';
import { isKube } from '../../../lib/kube/errors.ts';
import type { Secret } from '../../../lib/kube/object.ts';
import { resources } from '../../../lib/kube/resources.ts';
import { generateKey, keyAlgorithmOf, parsePrivateKey, privateKeyPem } from '../../../lib/pki/keys.ts';
import type { Logger } from '../../../lib/runtime/logger.ts';
import { externalBinding, jwkOf, signedMessage } from './jws.ts';
import { AcmeError } from './problem.ts';
import type { AcmeSession, Signer } from './session.ts';

/** A registered account: signs with its key, in the name of its URL. */
export interface Account extends Signer {
  readonly key: KeyObject;
  readonly url: string;
}

/** What an account is kept with. */
export interface AccountDeps {
  readonly session: AcmeSession;
  readonly client: Pick<KubeClient, 'get' | 'create' | 'patch'>;
  readonly logger: Logger;
  /** Tabard's own. */
  readonly namespace: string;
  /** Name of the TLSIssuer. */
  readonly issuer: string;
  readonly spec: AcmeIssuerSpec;
}

/** Key of the Secret under which a key lies that the server may or may not have taken yet. */
const nextKey = 'next.key';

/** Keeps one account. Calls are not to overlap; the issuer sees to that. */
export class AccountKeeper {
  readonly #deps: AccountDeps;
  #account: Account | undefined;

  constructor(deps: AccountDeps) {
    this.#deps = deps;
  }

  /** The account; found or registered at the first call. Rejects with an AcmeError or KubeError. */
  async ready(signal: AbortSignal): Promise<Account> {
    if (this.#account !== undefined) return this.#account;
    const secret = await this.#secret(signal);
    const pending = secret.data?.[nextKey] !== undefined;
    this.#account = pending
      ? await this.#resume(secret, keyIn(secret, nextKey), signal)
      : await this.#open(keyIn(secret, secretKeys.key), signal);
    return this.#account;
  }

  /** Looks the account up anew with the next call. */
  forget(): void {
    this.#account = undefined;
  }

  /** Replaces the key. Done once for each reason, however often it is called; whether it was done now. */
  async rollOver(reason: string, signal: AbortSignal): Promise<boolean> {
    const { key } = await this.ready(signal);
    const secret = await this.#secret(signal);
    if (secret.metadata.annotations?.[written.accountKeyReason] === reason) return false;
    const { privateKey: next } = await generateKey('ECDSA-P256');
    const metadata = { annotations: { [written.accountKeyReason]: reason } };
    await this.#patch(secret, { metadata, data: { [nextKey]: encoded(next) } }, signal);
    this.forget();
    const account = await this.ready(signal);
    return !account.key.equals(key);
  }

  /** Finishes a replacement, from wherever it was left. One that the server refuses for good is taken back. */
  async #resume(secret: Secret, next: KeyObject, signal: AbortSignal): Promise<Account> {
    const { logger, issuer } = this.#deps;
    const key = keyIn(secret, secretKeys.key);
    let account = await this.#find(next, signal);
    if (account === undefined) {
      const old = await this.#open(key, signal);
      try {
        await this.#changeKey(old, next, signal);
      } catch (err) {
        if (!(err instanceof AcmeError) || err.retryable) throw err;
        logger.warn({ issuer, err }, 'acme account key not replaced, the old one stays');
        await this.#patch(secret, { data: { [nextKey]: null } }, signal);
        return old;
      }
      account = { key: next, url: old.url, as: old.as };
    }
    await this.#patch(secret, { data: { [secretKeys.key]: encoded(next), [nextKey]: null } }, signal);
    logger.info({ issuer, account: account.url }, 'acme account key replaced');
    return account;
  }

  async #changeKey(account: Account, next: KeyObject, signal: AbortSignal): Promise<void> {
    const { session } = this.#deps;
    const { keyChange: url } = await session.directory(signal);
    // The inner message is signed by the new key and has no nonce: the outer one, signed by the old, has it.
    const payload = signedMessage(
      next,
      { jwk: jwkOf(next), url },
      { account: account.url, oldKey: jwkOf(account.key) },
    );
    await session.post({ doing: 'key change', url, signer: account, payload }, signal);
  }

  /** The account of a key, registered if there is none. */
  async #open(key: KeyObject, signal: AbortSignal): Promise<Account> {
    return (await this.#find(key, signal)) ?? (await this.#register(key, signal));
  }

  async #find(key: KeyObject, signal: AbortSignal): Promise<Account | undefined> {
    const { session } = this.#deps;
    const { newAccount: url } = await session.directory(signal);
    const signer: Signer = { key, as: { jwk: jwkOf(key) } };
    const payload = { onlyReturnExisting: true };
    try {
      const reply = await session.post({ doing: 'account', url, signer, payload }, signal);
      return accountAt(key, reply.location, reply.object()['status']);
    } catch (error) {
      if (error instanceof AcmeError && error.reason === 'AccountMissing') return undefined;
      throw error;
    }
  }

  async #register(key: KeyObject, signal: AbortSignal): Promise<Account> {
    const { session, spec, issuer, logger } = this.#deps;
    const { newAccount: url, externalAccountRequired } = await session.directory(signal);
    const binding = await this.#binding(key, url, signal);
    if (binding === undefined && externalAccountRequired) {
      throw new AcmeError('BindingRequired', 'the ACME server registers no accounts of strangers');
    }
    const payload = {
      // Whoever makes the TLSIssuer agrees (docs/issuers.md).
      termsOfServiceAgreed: true,
      ...(spec.email === undefined ? {} : { contact: [`mailto:${spec.email}`] }),
      ...(binding === undefined ? {} : { externalAccountBinding: binding }),
    };
    const signer: Signer = { key, as: { jwk: jwkOf(key) } };
    const reply = await session.post({ doing: 'new account', url, signer, payload }, signal).catch((error: unknown) => {
      // What the server does not like about a registration is its content: the settings, not the account.
      const aboutUs = error instanceof AcmeError && ['Unauthorized', 'BadAnswer'].includes(error.reason);
      throw aboutUs ? new AcmeError('AccountRefused', messageOf(error), { cause: error, type: error.type }) : error;
    });
    const account = accountAt(key, reply.location, reply.object()['status']);
    logger.info({ issuer, account: account.url }, 'acme account registered');
    return account;
  }

  async #binding(key: KeyObject, url: string, signal: AbortSignal) {
    const { spec, client, namespace } = this.#deps;
    if (spec.externalAccountBinding === undefined) return undefined;
    const { keyID: keyId, keySecretRef } = spec.externalAccountBinding;
    const ref = { namespace, name: keySecretRef.name };
    const secret = await client.get(resources.secrets, ref, { signal }).catch((error: unknown) => {
      if (isKube(error, 'NotFound')) throw new AcmeError('AccountRefused', `Secret ${keySecretRef.name} is not there`);
      throw error;
    });
    const text = Buffer.from(secret.data?.[keySecretRef.key] ?? '', 'base64')
      .toString('utf8')
      .trim();
    // CAs hand it out as base64url (section 7.3.4); plain base64 is understood, too.
    const macKey = Buffer.from(text, 'base64url');
    if (!/^[A-Za-z0-9_+/-]+=*$/.test(text) || macKey.length < 16) {
      throw new AcmeError(
        'AccountRefused',
        `key ${keySecretRef.key} of Secret ${keySecretRef.name} holds no base64url MAC key`,
      );
    }
    return externalBinding(key, { keyId, macKey, url });
  }

  /** The Secret of the key; made if it is absent, by whoever comes first. */
  async #secret(signal: AbortSignal): Promise<Secret> {
    const { client, namespace, spec, issuer } = this.#deps;
    const ref = { namespace, name: spec.accountKeySecretRef.name };
    try {
      return await client.get(resources.secrets, ref, { signal });
    } catch (error) {
      if (!isKube(error, 'NotFound')) throw error;
    }
    const { privateKey } = await generateKey('ECDSA-P256');
    const input = {
      metadata: { ...ref, labels: { [labels.managedBy]: MANAGED_BY }, annotations: { [written.issuer]: issuer } },
      type: 'Opaque',
      data: { [secretKeys.key]: encoded(privateKey) },
    };
    try {
      return await client.create(resources.secrets, input, { signal, fieldManager: fieldManagers.operator });
    } catch (error) {
      if (!isKube(error, 'AlreadyExists')) throw error;
      return client.get(resources.secrets, ref, { signal });
    }
  }

  #patch(
    secret: Secret,
    change: { readonly metadata?: object; readonly data: object },
    signal: AbortSignal,
  ): Promise<Secret> {
    const { name, namespace = '', resourceVersion } = secret.metadata;
    const { metadata = {}, ...rest } = change;
    // On exactly the version that was read: two leaders must not replace each other's next key.
    const patch = { ...rest, metadata: { ...metadata, resourceVersion } };
    const options = { signal, fieldManager: fieldManagers.operator };
    return this.#deps.client.patch(resources.secrets, { name, namespace }, patch, options);
  }
}

/** The annotation's value of a TLSIssuer that asks for another account key; undefined when none is asked for. */
export function rotateReason(notes: Readonly<Record<string, string>> | undefined): string | undefined {
  const reason = notes?.[annotations.rotateAccountKey]?.trim();
  return reason === undefined || reason === '' ? undefined : reason;
}

function accountAt(key: KeyObject, url: string | undefined, status: unknown): Account {
  if (url === undefined) throw new AcmeError('BadAnswer', 'the ACME server names no URL of the account');
  if (status !== 'valid') throw new AcmeError('Unauthorized', `the account ${url} is ${String(status)}`);
  return { key, url, as: { kid: url } };
}

function keyIn(secret: Secret, name: string): KeyObject {
  const where = `${name} of Secret ${secret.metadata.name}`;
  let key: KeyObject;
  try {
    key = parsePrivateKey(Buffer.from(secret.data?.[name] ?? '', 'base64').toString('utf8'));
  } catch {
    throw new AcmeError('AccountKeyBroken', `${where} is no private key`);
  }
  if (keyAlgorithmOf(key) === 'ECDSA-P256') return key;
  throw new AcmeError('AccountKeyBroken', `${where} is not of kind ECDSA P-256`);
}

function encoded(key: KeyObject): string {
  return Buffer.from(privateKeyPem(key)).toString('base64');
}
