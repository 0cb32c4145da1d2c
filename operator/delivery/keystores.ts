// PKCS#12 keystores in the Secret of a certificate: whether those that are there are the right ones, and the new ones. They change in the same
// write as the PEM files. A keystore's bytes differ each time, so that what it was made of is written beside it; that the password
// is still the right one, the file itself says.
import { delivered, written } from '../../lib/api/contract.ts';
import type { Keystore } from '../../lib/api/tlspolicy.ts';
import type { Secret } from '../../lib/kube/object.ts';
import { parseCertificates } from '../../lib/pki/bundle.ts';
import { parsePrivateKey } from '../../lib/pki/keys.ts';
import { keyStore, opensWith, trustStore } from '../../lib/pki/pkcs12.ts';
import type { Password, PasswordRef } from './passwords.ts';

/** What is asked for. `unusable`: keystores are wanted, but there is no password for them now. */
export type KeystoreWish =
  | { readonly kind: 'unwanted' }
  | { readonly kind: 'wanted'; readonly ref: PasswordRef; readonly password: string }
  | { readonly kind: 'unusable'; readonly ref: PasswordRef; readonly message: string };

/** What is to be done about those in the Secret. Never holds a password. */
export type KeystoreState =
  | { readonly kind: 'none' | 'current' }
  | { readonly kind: 'stale' | 'unusable'; readonly message: string };

/** The PEM files that keystores are made of. */
export interface KeystoreSource {
  readonly service: string;
  readonly chain: string;
  readonly key: string;
  readonly trustBundle: string;
  /** See `contentOf`. */
  readonly content: string;
}

/** Members of a Secret: values in base64, and annotations. */
export interface KeystoreParts {
  readonly data: Readonly<Record<string, string>>;
  readonly notes: Readonly<Record<string, string>>;
}

const files: readonly string[] = [delivered.keystore, delivered.truststore];
const nothing: KeystoreParts = { data: {}, notes: {} };

/**
 * The password that keystores of a Secret take: the policy's, or while no pod tells which policy that is, the one they were made
 * with last.
 */
export function passwordRefOf(
  keystore: Keystore | undefined,
  isIdle: boolean,
  secret: Secret | undefined,
): PasswordRef | undefined {
  if (!isIdle) return keystore?.passwordSecretRef;
  const [name, key, ...rest] = secret?.metadata.annotations?.[written.keystorePassword]?.split('/') ?? [];
  return name === undefined || key === undefined || rest.length > 0 ? undefined : { name, key };
}

/** The wish that follows from it. */
export function keystoreWish(ref: PasswordRef | undefined, password: Password | undefined): KeystoreWish {
  if (ref === undefined || password === undefined) return { kind: 'unwanted' };
  return password.ok
    ? { kind: 'wanted', ref, password: password.password }
    : { kind: 'unusable', ref, message: password.message };
}

/** What a keystore holds, as it is written down: the certificate's serial and the fingerprint of the bundle. */
export function contentOf(serial: string, bundleFingerprint: string | undefined): string {
  return `${serial}/${bundleFingerprint ?? ''}`;
}

/** Judges the keystores of a Secret whose PEM files hold `content`. */
export function keystoreState(wish: KeystoreWish, secret: Secret | undefined, content: string): KeystoreState {
  const present = files.filter((file) => secret?.data?.[file] !== undefined);
  if (wish.kind === 'unwanted') {
    return present.length === 0
      ? { kind: 'none' }
      : { kind: 'stale', message: 'its keystores are no longer asked for' };
  }
  if (wish.kind === 'unusable') return wish;
  if (secret === undefined || present.length < files.length)
    return { kind: 'stale', message: 'it has no keystores yet' };
  const notes = secret.metadata.annotations ?? {};
  if (notes[written.keystores] !== content)
    return { kind: 'stale', message: 'its keystores hold another certificate or bundle' };
  if (notes[written.keystorePassword] !== noteOf(wish.ref) || !openedBy(secret, wish.password))
    return { kind: 'stale', message: 'the password of its keystores changed' };
  return { kind: 'current' };
}

/** The keystores that go into a Secret with these PEM files. While there is no password the old ones stay. */
export async function keystoreParts(
  wish: KeystoreWish,
  before: Secret | undefined,
  source: KeystoreSource,
): Promise<KeystoreParts> {
  if (wish.kind === 'unwanted') return nothing;
  if (wish.kind === 'unusable') return kept(before);
  const chain = parseCertificates(source.chain);
  const content = { privateKey: parsePrivateKey(source.key), chain, alias: source.service };
  const stores = await Promise.all([
    keyStore(content, wish.password),
    trustStore(parseCertificates(source.trustBundle), wish.password),
  ]);
  const data = Object.fromEntries(files.map((file, index) => [file, stores[index]?.toString('base64') ?? '']));
  return { data, notes: { [written.keystores]: source.content, [written.keystorePassword]: noteOf(wish.ref) } };
}

function kept(secret: Secret | undefined): KeystoreParts {
  const pick = (from: Readonly<Record<string, string>> | undefined, names: readonly string[]) =>
    Object.fromEntries(names.flatMap((name) => (from?.[name] === undefined ? [] : [[name, from[name] ?? '']])));
  return {
    data: pick(secret?.data, files),
    notes: pick(secret?.metadata.annotations, [written.keystores, written.keystorePassword]),
  };
}

function noteOf({ name, key }: PasswordRef): string {
  return `${name}/${key}`;
}

const opened = new WeakMap<Secret, { readonly password: string; readonly opens: boolean }>();

/** Trying a password takes some milliseconds, so that the same Secret is tried once. */
function openedBy(secret: Secret, password: string): boolean {
  const known = opened.get(secret);
  if (known?.password === password) return known.opens;
  const opens = files.every((file) => opensWith(Buffer.from(secret.data?.[file] ?? '', 'base64'), password));
  opened.set(secret, { password, opens });
  return opens;
}
