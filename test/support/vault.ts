// The test server with Vault's own engines (hack/cluster/tools/vault) as a process: started, spoken to as an administrator would,
// and made to fail.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { toolPath } from '../../hack/cluster/api.ts';
import { progressOn } from '../../hack/cluster/progress.ts';
import { leashed } from '../../hack/leash.ts';
import { testAuthority, testLeaf } from './pki.ts';

/** Something that goes wrong with requests whose path contains `path`; see faults.go. */
export interface VaultFault {
  readonly path: string;
  /** 0 or absent = until `clear`. */
  readonly times?: number;
  readonly delayMs?: number;
  readonly override?: Readonly<Record<string, unknown>>;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly size?: number;
  readonly cut?: boolean;
}

/** One request that the server saw. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly namespace: string;
  readonly token: string;
  readonly members: readonly string[];
}

/** What Vault answered. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A running server. */
export interface TestVault {
  readonly address: string;
  /** Base64 of PEM, as TLSIssuer.spec.vault.caBundle takes it. */
  readonly caBundle: string;
  readonly rootToken: string;
  /** A request with the root token; fails unless Vault answers below 300. */
  admin(
    method: string,
    path: string,
    body?: Readonly<Record<string, unknown>>,
    namespace?: string,
  ): Promise<Readonly<Record<string, unknown>>>;
  fault(fault: VaultFault): Promise<void>;
  /** Ends all faults and forgets the log. */
  clear(): Promise<void>;
  seal(sealed: boolean): Promise<void>;
  standby(active: string): Promise<void>;
  down(): Promise<void>;
  up(): Promise<void>;
  /** Lets tokens grow older. */
  advance(seconds: number): Promise<void>;
  revokeTokens(): Promise<void>;
  log(): Promise<readonly SeenRequest[]>;
  leases(): Promise<number>;
  stop(): Promise<void>;
}

/** Builds the server if need be (minutes, once per machine) and starts one. */
export async function startVault(): Promise<TestVault> {
  const program = await toolPath(
    'vault',
    progressOn((line) => process.stderr.write(`${line}\n`)),
  );
  const folder = mkdtempSync(join(tmpdir(), 'tabard-vault-'));
  const authority = await testAuthority();
  const leaf = await testLeaf(authority, { ipAddresses: ['127.0.0.1'] });
  const [cert, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  writeFileSync(cert, leaf.certificate);
  writeFileSync(key, leaf.key, { mode: 0o600 });
  const child = spawn(...leashed(program, ['-cert', cert, '-key', key]), { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { address, control, rootToken } = JSON.parse(line) as Record<'address' | 'control' | 'rootToken', string>;
  const order = async (name: string, body: object = {}): Promise<unknown> => {
    const answer = await fetch(`${control}/${name}`, { method: 'POST', body: JSON.stringify(body) });
    return await answer.json();
  };
  const act = async (name: string, body: object = {}): Promise<void> => {
    const answer = await order(name, body);
    if (answer !== 'ok') throw new Error(`${name}: ${String(answer)}`);
  };
  return {
    address,
    caBundle: Buffer.from(authority.certificate).toString('base64'),
    rootToken,
    admin: async (method, path, body, namespace) => {
      const { status, body: said } = await ask(`${address}/v1/${path}`, {
        method,
        headers: { 'x-vault-token': rootToken, ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }) },
        ca: authority.certificate,
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(said)}`);
      return said;
    },
    fault: (fault) => act('fault', fault),
    clear: () => act('clear'),
    seal: (sealed) => act('seal', { sealed }),
    standby: (active) => act('standby', { active }),
    down: () => act('down'),
    up: () => act('up'),
    advance: (seconds) => act('advance', { seconds }),
    revokeTokens: () => act('revoke-tokens'),
    log: async () => (await order('log')) as readonly SeenRequest[],
    leases: async () => (await order('leases')) as number,
    stop: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

interface Asked {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly ca: string;
  readonly body: string | undefined;
}

async function ask(url: string, { body, ...options }: Asked): Promise<AdminAnswer> {
  const outgoing = httpsRequest(url, options);
  outgoing.end(body);
  const [incoming] = await once(outgoing, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return { status: incoming.statusCode, body: text === '' ? {} : (JSON.parse(text) as AdminAnswer['body']) };
}

/** Mounts a PKI engine with a root of its own and a role `mesh` for identities of cluster.local. */
export async function mountPki(vault: TestVault, path = 'pki', namespace?: string): Promise<void> {
  await vault.admin('POST', `sys/mounts/${path}`, { type: 'pki' }, namespace);
  await newRoot(vault, path, 'Root', namespace);
  await vault.admin('POST', `${path}/roles/mesh`, meshRole, namespace);
}

/** Makes another root in a PKI engine and the default of it; its issuer id. */
export async function newRoot(vault: TestVault, path: string, name: string, namespace?: string): Promise<string> {
  // Older than any leaf: Vault backdates no leaf past its CA's own beginning, and refuses instead.
  const ca = { common_name: name, ttl: '8760h', not_before_duration: '10m', key_type: 'ec', key_bits: 256 };
  const { data } = await vault.admin('POST', `${path}/root/generate/internal`, ca, namespace);
  const id = (data as { readonly issuer_id: string }).issuer_id;
  await vault.admin('POST', `${path}/config/issuers`, { default: id }, namespace);
  return id;
}

/** The role of docs/issuers.md. */
export const meshRole = {
  allowed_uri_sans: 'spiffe://cluster.local/*',
  allow_any_name: true,
  enforce_hostnames: false,
  allow_ip_sans: false,
  require_cn: false,
  key_type: 'any',
  max_ttl: '2160h',
  no_store: true,
  generate_lease: false,
};
