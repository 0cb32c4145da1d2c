import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { annotations as keys } from '../../../lib/api/contract.ts';
import { annotationRules, describeFaults, readAnnotations } from '../../../webhook/annotations.ts';
import { amountOf, parseShare, withDefaultLimit } from '../../../webhook/quantity.ts';
import { sidecarConfig } from '../../support/webhook.ts';

const { defaults } = sidecarConfig;
const many = Array.from({ length: 101 }, (_, index) => String(index + 1)).join(',');

describe('readAnnotations', () => {
  test('fills in the defaults where nothing is said', () => {
    expect(readAnnotations({ 'example.com/other': 'x' }, defaults)).toEqual({
      ok: true,
      warnings: [],
      settings: {
        inject: undefined,
        service: undefined,
        excludeInboundPorts: [],
        excludeOutboundPorts: [],
        excludeOutboundCidrs: [],
        cpu: defaults.cpu,
        memory: defaults.memory,
        asksCpu: false,
        asksMemory: false,
        logLevel: 'info',
        capture: 'redirect',
        delivery: 'Secret',
      },
    });
  });

  test.each([
    { key: keys.inject, value: 'true', field: 'inject', read: true },
    { key: keys.inject, value: 'false', field: 'inject', read: false },
    { key: keys.inject, value: 'certificate', field: 'inject', read: 'certificate' },
    { key: keys.service, value: 'a'.repeat(56), field: 'service', read: 'a'.repeat(56) },
    { key: keys.service, value: '9-lives', field: 'service', read: '9-lives' },
    { key: keys.excludeInboundPorts, value: ' 80,443 ,80', field: 'excludeInboundPorts', read: [80, 443] },
    { key: keys.excludeOutboundPorts, value: '65535', field: 'excludeOutboundPorts', read: [65_535] },
    {
      key: keys.excludeOutboundCidrs,
      value: '10.0.0.0/8, ::/0,1.2.3.4',
      field: 'excludeOutboundCidrs',
      read: ['10.0.0.0/8', '::/0', '1.2.3.4'],
    },
    { key: keys.proxyCpu, value: '250m', field: 'cpu', read: { request: '250m' } },
    { key: keys.proxyCpu, value: '0.5/1', field: 'cpu', read: { request: '0.5', limit: '1' } },
    { key: keys.proxyMemory, value: '100M', field: 'memory', read: { request: '100M', limit: '1Gi' } },
    { key: keys.proxyMemory, value: '2Gi', field: 'memory', read: { request: '2Gi', limit: '2Gi' } },
    { key: keys.proxyLogLevel, value: 'trace', field: 'logLevel', read: 'trace' },
    { key: keys.capture, value: 'none', field: 'capture', read: 'none' },
    { key: keys.delivery, value: 'Secret', field: 'delivery', read: 'Secret' },
    { key: keys.delivery, value: 'PodCertificate', field: 'delivery', read: 'PodCertificate' },
  ])('reads $key: $value', ({ key, value, field, read }) => {
    const verdict = readAnnotations({ [key]: value }, defaults);
    expect(verdict.ok && verdict.settings).toMatchObject({ [field]: read });
  });

  test.each([
    ...['', 'yes', 'True', 'TRUE', 'true ', 'enabled', '1', 'Certificate', 'certificates'].map((value) => ({
      key: keys.inject,
      value,
    })),
    ...['', 'Web', 'a_b', '-a', 'a-', 'a.b', 'a'.repeat(57), 'a\nb', 'ä'].map((value) => ({
      key: keys.service,
      value,
    })),
    ...['', '0', '65536', '80,', '80-90', 'http', '0x50', '080', '1e3', '16020', '80,16006', many].map((value) => ({
      key: keys.excludeInboundPorts,
      value,
    })),
    ...['-1', '80;443', '16001'].map((value) => ({ key: keys.excludeOutboundPorts, value })),
    ...[
      '',
      '10.0.0.0/33',
      '10.0.0',
      '::/129',
      'fe80::1%eth0',
      '10.0.0.0/8/8',
      '10.0.0.0/',
      '10.0.0.0/08',
      'localhost',
      '0.0.0.0/0\n'.repeat(2),
    ].map((value) => ({ key: keys.excludeOutboundCidrs, value })),
    ...['', '0', '0m', '65', 'abc', '1/2/3', '100m/', '/1', '100m/50m', '1k', '-1', '100m\n', '1.2345', '1/5m'].map(
      (value) => ({ key: keys.proxyCpu, value }),
    ),
    ...['', '1Mi', '65Gi', '1Ti', '1.5Gi', '64Mi/32Mi', '32Mi/48Mi', '64mi', '1e9', '64Mi '].map((value) => ({
      key: keys.proxyMemory,
      value,
    })),
    ...['', 'verbose', 'INFO', 'silent'].map((value) => ({ key: keys.proxyLogLevel, value })),
    ...['', 'cni', 'iptables', 'Redirect'].map((value) => ({ key: keys.capture, value })),
  ])('refuses $key: $value', ({ key, value }) => {
    const verdict = readAnnotations({ [key]: value }, defaults);
    expect(verdict.ok ? [] : verdict.faults).toEqual([
      { annotation: key, value, accepted: annotationRules[key].accepted },
    ]);
  });

  test('tells every fault with annotation, value and what is accepted, on one line', () => {
    const verdict = readAnnotations({ [keys.inject]: 'a\nb', [keys.service]: 'x'.repeat(200) }, defaults);
    const text = verdict.ok ? '' : describeFaults(verdict.faults);
    expect(text).toContain(
      'annotation tabard.dev/inject: "a\\nb" is not accepted; it takes "true", "false" or "certificate"',
    );
    expect(text).toContain(`annotation tabard.dev/service: "${'x'.repeat(80)}…" is not accepted`);
    expect(text).not.toContain('\n');
  });

  test('warns of keys that it does not know, but not of its own and of other groups', () => {
    const verdict = readAnnotations(
      {
        'tabard.dev/exclude-port': '1',
        'tabard.dev/injected': '1',
        'tabard.dev/copied': 'inject',
        'example.com/x': '',
      },
      defaults,
    );
    expect(verdict.ok && verdict.warnings).toEqual([
      'annotation tabard.dev/exclude-port is not known to this version of Tabard and has no effect',
    ]);
  });

  test('is not led astray by keys of every object', () => {
    const verdict = readAnnotations({ constructor: 'x', toString: 'y' }, defaults);
    expect(verdict.ok && verdict.settings.inject).toBeUndefined();
  });

  test('docs/injection.md lists every annotation, and no other', () => {
    const text = readFileSync(resolve(import.meta.dirname, '../../../docs/injection.md'), 'utf8');
    const listed = [...text.matchAll(/^\| `(tabard\.dev\/[a-z-]+)` \|/gm)].map((match) => match[1]);
    expect(listed.length).toBe(Object.keys(annotationRules).length);
    expect(new Set(listed)).toEqual(new Set(Object.keys(annotationRules)));
  });
});

describe('quantities', () => {
  test.each([
    { resource: 'cpu', text: '1', amount: 1000 },
    { resource: 'cpu', text: '0.25', amount: 250 },
    { resource: 'cpu', text: '250m', amount: 250 },
    { resource: 'memory', text: '1Ki', amount: 1024 },
    { resource: 'memory', text: '1k', amount: 1000 },
    { resource: 'memory', text: '67108864', amount: 67_108_864 },
    { resource: 'memory', text: '1.5Gi', amount: undefined },
  ] as const)('$resource $text is $amount', ({ resource, text, amount }) => {
    expect(amountOf(resource, text)).toBe(amount);
  });

  test('a default limit is never below the request', () => {
    const fallback = parseShare('memory', '64Mi/512Mi');
    expect(fallback && withDefaultLimit('memory', { request: '1Gi' }, fallback)).toEqual({
      request: '1Gi',
      limit: '1Gi',
    });
    expect(fallback && withDefaultLimit('memory', { request: '128Mi' }, fallback)).toEqual({
      request: '128Mi',
      limit: '512Mi',
    });
    expect(withDefaultLimit('cpu', { request: '1' }, { request: '20m' })).toEqual({ request: '1' });
  });
});
