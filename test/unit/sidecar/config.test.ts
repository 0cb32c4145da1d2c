import { describe, expect, test } from '@jest/globals';
import { env } from '../../../lib/api/contract.ts';
import { readConfig } from '../../../sidecar/config.ts';

const minimal = {
  [env.podName]: 'web-0',
  [env.podUid]: 'uid',
  [env.podIps]: '10.244.0.7,fd00::7',
  [env.service]: 'web',
  [env.controlAddress]: 'tabard-operator.tabard-system.svc:16010',
  [env.controlIdentity]: 'spiffe://cluster.local/ns/tabard-system/svc/tabard-operator',
};

describe('the settings of a sidecar', () => {
  test('come from the environment, with the ports and folders of the design', () => {
    expect(readConfig(minimal)).toMatchObject({
      podIps: ['10.244.0.7', 'fd00::7'],
      control: { host: 'tabard-operator.tabard-system.svc', port: 16_010 },
      ports: { inbound: 16_006, outbound: 16_001, admin: 16_020 },
      tlsFolder: '/var/run/tabard/tls',
      stateFolder: '/var/run/tabard/state',
      drainMs: 25_000,
      logLevel: 'info',
      relay: 'Auto',
      workers: 'Auto',
      worker: 0,
    });
  });

  test.each(['Auto', '1', '16'])('take %s workers', (workers) => {
    expect(readConfig({ ...minimal, [env.workers]: workers }).workers).toBe(workers);
  });

  test.each(['0', '17', 'all'])('take no %s workers', (workers) => {
    expect(() => readConfig({ ...minimal, [env.workers]: workers })).toThrow(env.workers);
  });

  test('take an IPv6 control address in brackets', () => {
    expect(readConfig({ ...minimal, [env.controlAddress]: '[fd00::10]:16010' }).control).toMatchObject({
      host: 'fd00::10',
      port: 16_010,
    });
  });

  test('are refused with every fault at once', () => {
    const faulty = {
      ...minimal,
      [env.podIps]: 'here',
      [env.controlAddress]: 'nowhere',
      [env.service]: '',
      TABARD_DRAIN_SECONDS: 'soon',
    };
    let message = '';
    try {
      readConfig(faulty);
    } catch (error) {
      message = String(error);
    }
    for (const name of [env.podIps, env.controlAddress, env.service, 'TABARD_DRAIN_SECONDS'])
      expect(message).toContain(name);
  });
});
