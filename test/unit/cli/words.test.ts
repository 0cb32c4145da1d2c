import { describe, expect, test } from '@jest/globals';
import { type OptionValues, wordsOf } from '../../../cli/command.ts';
import { commands, findCommand } from '../../../cli/commands.ts';
import { commandHelp, overview } from '../../../cli/help.ts';
import { globalOptions, kubeconfigFiles, namespaceOf, outputForm } from '../../../cli/options.ts';
import { moment, span, table } from '../../../cli/table.ts';

describe('the command line', () => {
  test.each([
    [['certs', '-A'], 'certs', ['-A']],
    [['ca', 'rotate', 'x', '--plan'], 'ca rotate', ['x', '--plan']],
    [['revoke', 'pod', 'a'], 'revoke', ['pod', 'a']],
  ])('%j is the command %s', (words, name, rest) => {
    expect(findCommand(words)).toMatchObject({ command: { name }, rest });
  });

  test.each([[['ca']], [['cert']], [[]], [['ca', 'burn']]])('%j is no command', (words) => {
    expect(findCommand(words)).toBeUndefined();
  });

  test('too few and too many words are named', () => {
    expect(() => wordsOf([], ['NAME'])).toThrow('NAME is missing');
    expect(() => wordsOf(['a', 'b'], ['NAME'])).toThrow('"b" is more than the command takes');
    expect(wordsOf([], ['NAME'], 1)).toEqual([]);
  });

  test('no command takes an option in another meaning than all others', () => {
    for (const { options } of commands) {
      expect(Object.keys(options).filter((name) => name in globalOptions)).toEqual([]);
      const letters = Object.values({ ...globalOptions, ...options }).flatMap(({ short }) => short ?? []);
      expect(new Set(letters).size).toBe(letters.length);
    }
  });
});

describe('the kubeconfig', () => {
  const exists =
    (...paths: string[]) =>
    (path: string) =>
      paths.includes(path);

  type Case = readonly [string, OptionValues, Record<string, string>, readonly string[], readonly string[] | undefined];
  test.each<Case>([
    ['the option comes first', { kubeconfig: 'own' }, { KUBECONFIG: '/a' }, ['/a'], ['own']],
    ['then $KUBECONFIG', {}, { KUBECONFIG: '/a', HOME: '/h' }, ['/a', '/h/.kube/config'], ['/a']],
    ['of several files those that are there', {}, { KUBECONFIG: '/a:/b::/c' }, ['/a', '/c'], ['/a', '/c']],
    ['a file that is not there is named in the failure', {}, { KUBECONFIG: '/a:/b' }, [], ['/a']],
    ['then the one at home', {}, { HOME: '/h' }, ['/h/.kube/config'], ['/h/.kube/config']],
    ['in a pod the service account', {}, { HOME: '/h', KUBERNETES_SERVICE_HOST: '10.0.0.1' }, [], undefined],
    ['and else the one at home, which is not there', {}, { HOME: '/h' }, [], ['/h/.kube/config']],
  ])('%s', (...[, options, environment, files, expected]) => {
    expect(kubeconfigFiles(options, environment, exists(...files))).toEqual(expected);
  });
});

describe('options', () => {
  test('the namespace is the stated one, else that of the context, else default', () => {
    expect(namespaceOf({ namespace: 'a' }, 'b')).toBe('a');
    expect(namespaceOf({}, 'b')).toBe('b');
    expect(namespaceOf({}, undefined)).toBe('default');
    expect(namespaceOf({ 'all-namespaces': true }, 'b')).toBeUndefined();
    expect(() => namespaceOf({ 'all-namespaces': true, namespace: 'a' }, 'b')).toThrow('either');
  });

  test('an unknown form of the answer is refused with those there are', () => {
    expect(outputForm({})).toBe('table');
    expect(() => outputForm({ output: 'yaml' })).toThrow('table, wide or json');
  });
});

describe('texts', () => {
  test('columns are as wide as they must be', () => {
    expect(table(['A', 'LONG'], [['aaa', 'b']])).toEqual(['A     LONG', 'aaa   b']);
  });

  test.each([
    [0, '0s'],
    [59_999, '59s'],
    [60_000, '1m'],
    [90_000, '1m30s'],
    [12 * 60_000 + 30_000, '12m'],
    [3_600_000, '1h'],
    [26 * 3_600_000 + 60_000, '1d2h'],
    [45 * 86_400_000, '45d'],
    [-5, '0s'],
  ])('%d ms is %s', (ms, text) => {
    expect(span(ms)).toBe(text);
  });

  test('a moment lies ahead, behind, or is not known', () => {
    const now = new Date('2026-01-01T00:00:00Z');
    expect(moment(new Date('2026-01-01T02:00:00Z'), now)).toBe('in 2h');
    expect(moment(new Date('2025-12-31T23:00:00Z'), now)).toBe('1h ago');
    expect(moment(undefined, now)).toBe('-');
    expect(moment(new Date(Number.NaN), now)).toBe('-');
  });
});

describe('the help', () => {
  test('names every command, and every option of it', () => {
    const text = overview().join('\n');
    for (const command of commands) {
      expect(text).toContain(`  ${command.name} `);
      const whole = commandHelp(command).join('\n');
      for (const name of Object.keys({ ...globalOptions, ...command.options })) expect(whole).toContain(`--${name}`);
      for (const example of command.examples) expect(example.startsWith(`tabard ${command.name}`)).toBe(true);
    }
  });
});
