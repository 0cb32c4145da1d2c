import { resolve } from 'node:path';
import { expect, test } from '@jest/globals';
import { suitesOfOneRelay } from '../../../hack/bothrelays.ts';
import { type TestReport, wayMatrix } from '../../../hack/waymatrix.ts';

const passed = (...titles: readonly string[]): TestReport => ({
  status: 'passed',
  ancestorTitles: titles.slice(0, -1),
  title: titles.at(-1) ?? '',
});

test('what was tested is counted by transport and relay, whether titles or runs name them', () => {
  const named = [
    passed('over Tunnel, public relay', 'a renewal'),
    passed('over Direct, fast relay', 'a renewal'),
    { ...passed('over Direct, fast relay', 'an end'), status: 'failed' },
    passed('with a peer', 'Direct carries everything, over the public relay of today'),
  ];
  const unnamed = [passed('requests between sidecars by Direct', 'one'), passed('a tunnel', 'another')];
  const text = wayMatrix([
    { name: 'renew', relay: 'fast', tests: named },
    { name: 'requests', relay: 'fast', tests: unnamed },
    { name: 'requests', relay: 'public', tests: unnamed.slice(1) },
  ]);
  expect(text.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['Tunnel, fast', 'Tunnel, public', 'Direct, fast', 'Direct, public'],
    ['renew', '-', '1', '1 of 2', '1'],
    ['requests', '1', '1', '1', '-'],
  ]);
});

test('suites that go through a sidecar and name no relay are found, those that run over both by themselves are not', () => {
  const found = suitesOfOneRelay(resolve(import.meta.dirname, '../../..'));
  const sidecar = (name: string): string => `test/integration/sidecar/${name}.test.ts`;
  expect(found).toEqual(expect.arrayContaining(['tunnel', 'requests', 'memory', 'direct'].map(sidecar)));
  for (const name of ['carry', 'renew', 'admin', 'redirect']) expect(found).not.toContain(sidecar(name));
});
