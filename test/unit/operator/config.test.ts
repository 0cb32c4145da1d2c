// The operator's settings.
import { describe, expect, test } from '@jest/globals';
import { readConfig } from '../../../operator/config.ts';

const required = { TABARD_NAMESPACE: 'tabard-system', TABARD_POD_NAME: 'tabard-operator-0' };

describe('the settings of the operator', () => {
  test('have defaults for all but namespace and pod', () => {
    expect(readConfig(required)).toEqual({
      namespace: 'tabard-system',
      podName: 'tabard-operator-0',
      logLevel: 'info',
      trustDomain: 'cluster.local',
      clusterDomain: 'cluster.local',
      minimumLifetimeMs: 600_000,
      fileDeliveryMs: 180_000,
      defaultIssuer: { lifetimeMs: 90 * 86_400_000 },
      clusterRanges: [],
      controlPort: 16_010,
      crlPort: 16_012,
      adminPort: 16_020,
      tokensFolder: '/var/run/tabard/tokens',
      jwksHosts: [],
      leaseMs: 15_000,
      kubeconfig: undefined,
    });
  });

  test('are read as the chart writes them', () => {
    const config = readConfig({
      ...required,
      TABARD_MINIMUM_LIFETIME: '20s',
      TABARD_DEFAULT_ISSUER_CREATE: 'false',
      TABARD_CLUSTER_RANGES: '10.0.0.0/8, fd00::/8',
      TABARD_CONTROL_PORT: '0',
      TABARD_JWKS_HOSTS: 'login.example.com,id.example.org',
      TABARD_LEASE_DURATION: '30s',
      KUBECONFIG: '/tmp/kubeconfig',
    });
    expect(config).toMatchObject({
      minimumLifetimeMs: 20_000,
      defaultIssuer: undefined,
      clusterRanges: ['10.0.0.0/8', 'fd00::/8'],
      controlPort: 0,
      jwksHosts: ['login.example.com', 'id.example.org'],
      leaseMs: 30_000,
      kubeconfig: '/tmp/kubeconfig',
    });
  });

  test('that are wrong are all named', () => {
    expect(() => readConfig({ TABARD_LOG_LEVEL: 'loud', TABARD_CLUSTER_RANGES: 'x', TABARD_ADMIN_PORT: 'y' })).toThrow(
      /TABARD_NAMESPACE.*TABARD_POD_NAME.*TABARD_LOG_LEVEL.*TABARD_CLUSTER_RANGES.*TABARD_ADMIN_PORT/s,
    );
  });
});
