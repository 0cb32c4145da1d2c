import { describe, expect, test } from '@jest/globals';
import { type Exclusions, redirectScript } from '../../../../sidecar/redirect/rules.ts';

const nothing: Exclusions = { inboundPorts: [], outboundPorts: [], outboundCidrs: [] };

/** The rules of one chain of one table. */
function chain(script: string, family: string, name: string): string[] {
  const table = script.slice(script.indexOf(`table ${family} tabard {`));
  const start = table.indexOf(`chain ${name} {`);
  return table
    .slice(start, table.indexOf('  }', start))
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

describe('redirectScript', () => {
  test('captures all TCP but that of the proxy, of loopback and to the admin port', () => {
    const script = redirectScript(['ip'], nothing);
    expect(chain(script, 'ip', 'inbound')).toEqual([
      'type nat hook prerouting priority -110; policy accept;',
      'meta l4proto != tcp accept',
      'iif lo accept',
      'tcp dport { 16020 } accept',
      'meta l4proto tcp redirect to :16006',
    ]);
    expect(chain(script, 'ip', 'outbound')).toEqual([
      'type nat hook output priority -110; policy accept;',
      'meta l4proto != tcp accept',
      'meta skuid 1616 accept',
      'ip daddr 127.0.0.0/8 accept',
      'meta l4proto tcp redirect to :16001',
    ]);
  });

  test('drops what connection tracking cannot follow, for such packets pass NAT unseen', () => {
    const script = redirectScript(['ip6'], { ...nothing, inboundPorts: [9090] });
    expect(chain(script, 'ip6', 'uncaptured_in').slice(-2)).toEqual([
      'tcp dport { 16020, 9090 } accept',
      'ct state invalid,untracked drop',
    ]);
    expect(chain(script, 'ip6', 'uncaptured_out').slice(-4, -2)).toEqual([
      'meta skuid 1616 accept',
      'ct state invalid,untracked drop',
    ]);
  });

  test('drops what was to be captured and would leave as it is, but not what is left alone', () => {
    const script = redirectScript(['ip'], {
      inboundPorts: [],
      outboundPorts: [3306],
      outboundCidrs: ['192.0.2.0/24'],
    });
    expect(chain(script, 'ip', 'uncaptured_out').slice(-4)).toEqual([
      'ip daddr 127.0.0.0/8 accept',
      'tcp dport { 3306 } accept',
      'ip daddr { 192.0.2.0/24 } accept',
      'ct direction original meta skuid != 1616 drop',
    ]);
  });

  test('leaves out excluded ports, each named once', () => {
    const script = redirectScript(['ip'], {
      inboundPorts: [9090, 9091, 9090],
      outboundPorts: [3306],
      outboundCidrs: [],
    });
    expect(chain(script, 'ip', 'inbound')).toContain('tcp dport { 16020, 9090, 9091 } accept');
    expect(chain(script, 'ip', 'outbound')).toContain('tcp dport { 3306 } accept');
  });

  test('puts each excluded network into the table of its family', () => {
    const outboundCidrs = ['10.0.0.0/8', 'fd00::/8', '192.0.2.7'];
    const script = redirectScript(['ip', 'ip6'], { ...nothing, outboundCidrs });
    expect(chain(script, 'ip', 'outbound')).toContain('ip daddr { 10.0.0.0/8, 192.0.2.7 } accept');
    expect(chain(script, 'ip6', 'outbound')).toContain('ip6 daddr { fd00::/8 } accept');
  });

  test('replaces each table whole, and names no family that was not asked for', () => {
    const script = redirectScript(['ip'], nothing);
    expect(script.startsWith('table ip tabard\ndelete table ip tabard\ntable ip tabard {\n')).toBe(true);
    expect(script).not.toContain('ip6');
    expect(redirectScript(['ip', 'ip6'], nothing)).toContain('delete table ip6 tabard\n');
  });
});
