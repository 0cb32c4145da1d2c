// Everything that Tabard writes, over a matrix of keys, names, lifetimes and dates, as others see it: zlint and pkilint (RFC 5280), OpenSSL in its strict
// mode, and the parsers of Go and Java. Each tool gets the whole matrix at once, and something wrong beside it that it must find.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { toolPath } from '../../../hack/cluster/api.ts';
import { run, tryRun } from '../../../hack/cluster/run.ts';
import { pythonWith } from '../../../hack/python/environment.ts';
import { foreign } from '../../support/foreign.ts';
import { type Item, matrix } from '../../support/matrix/items.ts';

const programs = join(import.meta.dirname, '../../support/matrix');
const folder = mkdtempSync(join(tmpdir(), 'tabard-matrix-'));
const pathOf = (item: Item): string => paths.get(item.name) ?? '';
const paths = new Map<string, string>();
let items: readonly Item[];

/** Something that no authority should write: key identifiers that are critical. */
const badTimes = { notBefore: new Date('2026-11-22T00:00:00Z'), notAfter: new Date('2026-11-23T00:00:00Z') };
const bad: Item = {
  name: 'something wrong',
  kind: 'ca',
  der: foreign({ name: 'wrong', keyIdsCritical: true, ...badTimes }).certificate.raw,
  issuer: 'something wrong',
  at: badTimes.notBefore,
  serial: '01',
  ...badTimes,
  uris: [],
  dnsNames: [],
  ipAddresses: [],
};

const armor = { ca: 'CERTIFICATE', leaf: 'CERTIFICATE', csr: 'CERTIFICATE REQUEST', crl: 'X509 CRL' } as const;

function pemOf({ kind, der }: Item): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${armor[kind]}-----`, ...lines, `-----END ${armor[kind]}-----`, ''].join('\n');
}

function write(item: Item): void {
  const base = join(folder, String(paths.size));
  writeFileSync(`${base}.pem`, pemOf(item));
  writeFileSync(`${base}.der`, item.der);
  paths.set(item.name, base);
}

beforeAll(async () => {
  items = await matrix();
  for (const item of [...items, bad]) write(item);
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true }));

const lintable = (): readonly Item[] => items.filter(({ kind }) => kind !== 'csr');

/** Name and finding for whatever lints with something to say. */
type Findings = ReadonlyMap<string, readonly string[]>;

describe('what Tabard writes', () => {
  test('is a matrix worth its name', () => {
    const count = (kind: Item['kind']): number => items.filter((item) => item.kind === kind).length;
    expect(count('leaf')).toBe(288);
    expect(count('ca')).toBe(36);
    expect(count('csr')).toBe(24);
    expect(count('crl')).toBe(72);
    expect(new Set(items.map(({ name }) => name)).size).toBe(items.length);
  });

  test('passes zlint: every rule of the RFCs and of common sense', async () => {
    const found = await zlint([...lintable(), bad]);
    expect(found.get(bad.name)).not.toEqual([]);
    expect([...found].filter(([name, faults]) => name !== bad.name && faults.length > 0)).toEqual([]);
    expect(found.size).toBe(lintable().length + 1);
  }, 900_000);

  test('passes pkilint, but for its idea of names of the public web', async () => {
    const found = await pkilint([...lintable(), bad]);
    expect(found.get(bad.name)).not.toEqual([]);
    expect([...found].filter(([name, faults]) => name !== bad.name && faults.length > 0)).toEqual([]);
    expect(found.size).toBe(lintable().length + 1);
  }, 900_000);

  test('is accepted by OpenSSL in its strict mode, as server and as client', async () => {
    expect(await opensslFaults(items)).toEqual([]);
    expect(await opensslFaults([bad])).not.toEqual([]);
  }, 300_000);

  test.each([
    ["Go's parser and path builder", 'go', ['run', 'check.go'], ['ca', 'leaf', 'csr', 'crl']],
    ["Java's parser and path validator", 'java', ['Check.java'], ['ca', 'leaf', 'crl']],
  ])(
    'means to %s what was meant',
    async (_, program, args, kinds) => {
      const [first] = items.filter(({ kind }) => kind === 'leaf');
      if (first === undefined) throw new Error('the matrix has no leaf');
      const other: Item = { ...first, name: 'another name', dnsNames: [...first.dnsNames, 'another'], serial: '1234' };
      paths.set(other.name, pathOf(first));
      const those = [...items, other];
      const env = { GOFLAGS: '', GOWORK: 'off', GO111MODULE: 'off' };
      const said = await run(program, args, {
        input: those.map(lineOf).join(''),
        cwd: programs,
        env,
        timeoutMs: 240_000,
      });
      const lines = said.trimEnd().split('\n');
      expect(lines.pop()).toBe(String(those.filter(({ kind }) => kinds.includes(kind)).length));
      expect(lines.filter((line) => !line.startsWith('another name\t'))).toEqual([]);
      expect(lines).toHaveLength(2);
    },
    300_000,
  );
});

/** One item as the programs of other languages read it (check.go says how). */
function lineOf(item: Item): string {
  const seconds = (at: Date): string => String(at.getTime() / 1_000);
  const { name, kind, issuer, at, serial, notBefore, notAfter } = item;
  const names = [item.uris, item.dnsNames, item.ipAddresses].map((list) => list.join(' '));
  const times = [seconds(at), serial, seconds(notBefore), seconds(notAfter)];
  return `${[name, kind, `${pathOf(item)}.der`, issuer, ...times, ...names].join('\t')}\n`;
}

/** What OpenSSL says against them: certificates by CA and time in one run each, then requests. */
async function opensslFaults(those: readonly Item[]): Promise<readonly string[]> {
  const certificates = those.filter(({ kind }) => kind === 'ca' || kind === 'leaf');
  const runs = Map.groupBy(certificates, ({ issuer }) => issuer);
  const found: string[] = [];
  const ask = async (...args: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await tryRun('openssl', args);
    if (code !== 0) found.push(`${stdout}${stderr}`);
  };
  for (const [issuer, group] of runs) {
    const at = String((group[0]?.at.getTime() ?? 0) / 1_000);
    const [authority, leaves] = [`${paths.get(issuer)}.pem`, group.map((item) => `${pathOf(item)}.pem`)];
    const options = ['verify', '-x509_strict', '-check_ss_sig', '-attime', at, '-CAfile', authority];
    await ask(...options, ...leaves);
    const only = group.filter(({ kind }) => kind === 'leaf').map((item) => `${pathOf(item)}.pem`);
    if (only.length === 0) continue;
    for (const purpose of ['sslserver', 'sslclient']) await ask(...options, '-purpose', purpose, ...only);
  }
  for (const item of those.filter(({ kind }) => kind === 'csr')) {
    await ask('req', '-verify', '-noout', '-in', `${pathOf(item)}.pem`);
  }
  for (const item of those.filter(({ kind }) => kind === 'crl')) {
    const authority = `${paths.get(item.issuer)}.pem`;
    const { stderr } = await tryRun('openssl', ['crl', '-noout', '-in', `${pathOf(item)}.pem`, '-CAfile', authority]);
    // It says "verify OK" and ends with 0 in either case.
    if (!stderr.includes('verify OK')) found.push(`${item.name}: ${stderr}`);
  }
  return found;
}

const sources = ['RFC5280', 'RFC5480', 'RFC5891', 'RFC6962', 'RFC8813', 'Community'];

async function zlint(those: readonly Item[]): Promise<Findings> {
  const args = ['-includeSources', sources.join(','), ...those.map((item) => `${pathOf(item)}.pem`)];
  const lines = (await run(await toolPath('zlint'), args, { timeoutMs: 300_000 })).trimEnd().split('\n');
  return new Map(
    those.map((item, at) => {
      const results: Record<string, { readonly result: string }> = JSON.parse(lines[at] ?? '{}');
      const bad = Object.entries(results).filter(([, { result }]) => ['warn', 'error', 'fatal'].includes(result));
      return [item.name, bad.map(([rule]) => rule)];
    }),
  );
}

/** pkilint knows the schemes of the web and wants a dot in every name; a mesh has `spiffe:` and names like `web`. */
const publicWeb = new Set(['pkix.invalid_uri_syntax', 'pkix.invalid_domain_name_syntax']);

async function pkilint(those: readonly Item[]): Promise<Findings> {
  const input = those.map((item) => `${item.kind === 'crl' ? 'crl' : 'certificate'}\t${pathOf(item)}.pem\n`).join('');
  const script = join(programs, 'lint.py');
  const lines = (await run(await pythonWith('pkilint'), [script], { input, timeoutMs: 300_000 })).trimEnd().split('\n');
  return new Map(
    those.map((item, at) => {
      const { said }: { readonly said: string } = JSON.parse(lines[at] ?? '{}');
      const codes = [...said.matchAll(/"code": "([^"]+)"/g)].map(([, code = '']) => code);
      const broken = said.trimStart().startsWith('{') ? [] : [said];
      return [item.name, [...broken, ...codes.filter((code) => !publicWeb.has(code))]];
    }),
  );
}
