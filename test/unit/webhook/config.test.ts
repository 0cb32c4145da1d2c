import { describe, expect, test } from '@jest/globals';
import { readConfig } from '../../../webhook/config.ts';
import { sidecarConfig } from '../../support/webhook.ts';

const least = { TABARD_NAMESPACE: 'tabard-system', TABARD_POD_NAME: 'w-0', TABARD_IMAGE: sidecarConfig.image };

describe('readConfig', () => {
  test('needs a namespace, a pod name and an image; the rest has defaults', () => {
    const config = readConfig(least);
    expect(config.sidecar).toEqual(sidecarConfig);
    expect(config).toMatchObject({
      port: 16_443,
      adminPort: 16_020,
      drainMs: 20_000,
      servingPeriodMs: 60_000,
      kubeconfig: undefined,
      serving: { overlapMs: 3_600_000, certificateLifetimeMs: 30 * 86_400_000, caLifetimeMs: 365 * 86_400_000 },
    });
  });

  test('names every fault at once', () => {
    const faulty = {
      ...least,
      TABARD_IMAGE: '',
      TABARD_PROXY_CPU: 'x',
      TABARD_PROXY_MEMORY: '64Mi/1',
      TABARD_PROXY_LOG_LEVEL: 'loud',
      TABARD_IMAGE_PULL_SECRETS: 'a,B_',
      TABARD_DRAIN: '5',
    };
    const message = (() => {
      try {
        readConfig(faulty);
        return '';
      } catch (error) {
        return String(error);
      }
    })();
    for (const name of ['IMAGE', 'PROXY_CPU', 'PROXY_MEMORY', 'PROXY_LOG_LEVEL', 'IMAGE_PULL_SECRETS', 'DRAIN']) {
      expect(message).toContain(`TABARD_${name} `);
    }
  });
});
