// Who may import whom (ARCHITECTURE.md). Anything that is not listed here is forbidden.
import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const root = resolve(import.meta.dirname, '..');

interface Rule {
  /** Path prefix that the rule governs; the longest matching prefix wins. */
  readonly from: string;
  /** Path prefixes inside the repository that may be imported. A rule for a folder allows that folder, too. */
  readonly own?: readonly string[];
  /** Packages that may be imported at run time. */
  readonly packages?: readonly string[];
  /** Packages of which types alone may be imported. */
  readonly types?: readonly string[];
}

const rules: readonly Rule[] = [
  { from: 'lib/errors.ts' },
  { from: 'lib/clock.ts', own: ['lib/errors.ts'] },
  { from: 'lib/api/', own: ['lib/errors.ts', 'lib/clock.ts'], packages: ['ajv'] },
  { from: 'lib/cel/', own: ['lib/errors.ts', 'lib/api/'], packages: ['@marcbachmann/cel-js'] },
  { from: 'lib/pki/', own: ['lib/errors.ts', 'lib/clock.ts', 'lib/api/'] },
  { from: 'lib/pki/asn1.ts', own: ['lib/errors.ts', 'lib/clock.ts', 'lib/api/', 'lib/pki/'], packages: ['node-forge'] },
  { from: 'lib/policy/', own: ['lib/errors.ts', 'lib/clock.ts', 'lib/api/', 'lib/cel/', 'lib/pki/'] },
  {
    from: 'lib/runtime/',
    own: ['lib/errors.ts', 'lib/clock.ts', 'lib/api/', 'lib/pki/'],
    packages: ['pino', 'ajv'],
  },
  {
    from: 'lib/kube/',
    own: ['lib/errors.ts', 'lib/clock.ts', 'lib/api/', 'lib/runtime/'],
    types: ['@kubernetes/client-node', 'pino'],
  },
  {
    from: 'lib/kube/rest.ts',
    own: ['lib/errors.ts', 'lib/clock.ts', 'lib/api/', 'lib/runtime/', 'lib/kube/'],
    packages: ['@kubernetes/client-node'],
  },
  { from: 'lib/http/', own: ['lib/errors.ts', 'lib/runtime/'], packages: ['fastify'] },
  { from: 'operator/', own: ['lib/'], types: ['pino', 'fastify'] },
  {
    from: 'operator/delivery/aws/',
    own: ['operator/', 'lib/'],
    packages: ['@aws-sdk/client-secrets-manager'],
    types: ['pino'],
  },
  { from: 'webhook/', own: ['lib/'], types: ['pino', 'fastify'] },
  { from: 'webhook/server.ts', own: ['webhook/', 'lib/'], packages: ['fastify'], types: ['pino'] },
  {
    from: 'sidecar/',
    own: [
      'lib/errors.ts',
      'lib/clock.ts',
      'lib/api/',
      'lib/cel/',
      'lib/pki/bundle.ts',
      'lib/pki/identity.ts',
      'lib/pki/keyid.ts',
      'lib/pki/verify.ts',
      'lib/runtime/',
    ],
    packages: [],
    types: ['pino'],
  },
  { from: 'sidecar/jwt/jose.ts', own: [], packages: ['jose'] },
  { from: 'cli/', own: ['lib/'] },
  { from: 'console/', own: ['lib/'] },
];

/** Files that only their own program may import. */
const heads = /^(operator|webhook|sidecar|cli|console)\/(.*\/)?(main|app)\.ts$/;

interface Import {
  readonly file: string;
  readonly target: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : sources(path);
    return path.endsWith('.ts') && !path.endsWith('.d.ts') ? [path] : [];
  });
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern =
    /^\s*(?:import|export)\s+(type\s)?[^'";]*?from\s+'([^']+)'|^\s*import\s+()'([^']+)'|\bimport\(\s*()'([^']+)'/gm;
  return [...text.matchAll(pattern)].map((match) => ({
    file,
    target: match[2] ?? match[4] ?? match[6] ?? '',
    typeOnly: match[1] !== undefined,
  }));
}

function ruleOf(file: string): Rule | undefined {
  return rules.filter((rule) => file.startsWith(rule.from)).sort((a, b) => b.from.length - a.from.length)[0];
}

function verdict({ file, target, typeOnly }: Import): string | undefined {
  if (isBuiltin(target)) return undefined;
  const rule = ruleOf(file);
  if (rule === undefined) return `${file}: no rule governs this file`;
  if (target.startsWith('.')) {
    const path = relative(root, resolve(root, dirname(file), target));
    if (heads.test(path) && !(file.endsWith('/main.ts') && dirname(file) === dirname(path))) {
      return `${file}: nobody but its own main.ts imports ${path}`;
    }
    const allowed = [...(rule.from.endsWith('/') ? [rule.from] : []), ...(rule.own ?? [])].some((prefix) =>
      path.startsWith(prefix),
    );
    return allowed ? undefined : `${file}: may not import ${path}`;
  }
  const name = target.startsWith('@') ? target.split('/').slice(0, 2).join('/') : (target.split('/')[0] ?? target);
  const allowed = rule.packages?.includes(name) || (typeOnly && rule.types?.includes(name));
  return allowed ? undefined : `${file}: may not import ${typeOnly ? 'types of ' : ''}package ${name}`;
}

const folders = readdirSync(root).filter((name) =>
  ['lib', 'operator', 'webhook', 'sidecar', 'cli', 'console'].includes(name),
);
const files = folders.flatMap(sources);

describe('architecture', () => {
  test('finds the sources it is meant to judge', () => {
    expect(files.length).toBeGreaterThan(5);
    expect(importsOf('lib/clock.ts').map((each) => each.target)).toEqual(['node:timers/promises', './errors.ts']);
  });

  test('every import is one that the table allows', () => {
    expect(
      files
        .flatMap(importsOf)
        .map(verdict)
        .filter((text) => text !== undefined),
    ).toEqual([]);
  });

  test('the table refuses what it should', () => {
    const refused: readonly Import[] = [
      { file: 'sidecar/inbound.ts', target: '../lib/kube/client.ts', typeOnly: false },
      { file: 'sidecar/inbound.ts', target: 'fastify', typeOnly: false },
      { file: 'sidecar/inbound.ts', target: '../lib/pki/x509.ts', typeOnly: false },
      { file: 'webhook/decide.ts', target: '../operator/config.ts', typeOnly: false },
      { file: 'lib/pki/keys.ts', target: 'node-forge', typeOnly: false },
      { file: 'lib/kube/store.ts', target: '@kubernetes/client-node', typeOnly: false },
      { file: 'operator/config.ts', target: './app.ts', typeOnly: false },
    ];
    expect(refused.map(verdict)).not.toContain(undefined);
  });

  test('no file is longer than 400 lines', () => {
    const lines = files.map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }));
    expect(lines.filter((each) => each.lines > 400)).toEqual([]);
  });

  test('the environment is read only in config.ts and main.ts', () => {
    const readers = files.filter((file) => /\bprocess\.env\b/.test(readFileSync(join(root, file), 'utf8')));
    expect(readers.filter((file) => !/\/(config|main)\.ts$/.test(file))).toEqual([]);
  });
});
