// Where a foreign list comes from: a ConfigMap of Tabard's namespace (PEM in data, DER or PEM in binaryData) or an HTTP URL. Bounded in
// size and time; what cannot be had is a sentence, not an error.
import type { TLSIssuerSpec } from '../../../lib/api/tlsissuer.ts';
import { messageOf } from '../../../lib/errors.ts';
import type { ConfigMap } from '../../../lib/kube/object.ts';
import { maximumCrlBytes } from '../../../lib/pki/crlread.ts';

/** Where a list is to come from. */
export type ImportSource = NonNullable<NonNullable<TLSIssuerSpec['crl']>['importFrom']>;

const timeoutMs = 10_000;
/** Enough for a list of the largest size in PEM, and for judging that a larger one is too large. */
const mostBytes = 2 * maximumCrlBytes;

/** The bytes of a list. */
export async function fetchList(
  { configMapRef, url }: ImportSource,
  configMap: (name: string) => ConfigMap | undefined,
  signal: AbortSignal,
): Promise<Buffer | { readonly missing: string }> {
  if (configMapRef !== undefined) return inConfigMap(configMap(configMapRef.name), configMapRef);
  if (url === undefined) return { missing: 'spec.crl.importFrom names neither a ConfigMap nor a URL' };
  try {
    return await download(url, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { missing: `${url} cannot be fetched: ${messageOf(error)}` };
  }
}

function inConfigMap(map: ConfigMap | undefined, { name, key }: { readonly name: string; readonly key: string }) {
  if (map === undefined) return { missing: `there is no ConfigMap "${name}" in Tabard's namespace` };
  const binary = map.binaryData?.[key];
  if (binary !== undefined) return Buffer.from(binary, 'base64');
  const text = map.data?.[key];
  return text === undefined ? { missing: `ConfigMap "${name}" has no key "${key}"` } : Buffer.from(text);
}

async function download(url: string, signal: AbortSignal): Promise<Buffer | { readonly missing: string }> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const answer = await fetch(url, { signal: bounded, headers: { accept: 'application/pkix-crl, */*' } });
  if (!answer.ok) return { missing: `${url} answers with status ${answer.status}` };
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    // What is there is too large already; the rest would not change that.
    if (size > mostBytes) break;
  }
  return Buffer.concat(chunks);
}
