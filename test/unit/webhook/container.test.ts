// What a setting of the chart changes in the sidecar's container, where the golden pods have the default.
import { describe, expect, test } from '@jest/globals';
import { env } from '../../../lib/api/contract.ts';
import { proxyContainer, type SidecarRequest } from '../../../webhook/container.ts';
import { sidecarConfig } from '../../support/webhook.ts';

const request: SidecarRequest = {
  config: sidecarConfig,
  service: 'web',
  settings: {
    ...sidecarConfig.defaults,
    inject: true,
    service: 'web',
    excludeInboundPorts: [],
    excludeOutboundPorts: [],
    excludeOutboundCidrs: [],
    capture: 'redirect',
    delivery: 'Secret',
    asksCpu: false,
    asksMemory: false,
  },
  probes: [],
  podResources: undefined,
  graceSeconds: 30,
};

describe("the sidecar's environment", () => {
  test.each([
    ['the number of workers', { workers: '4' }, { name: env.workers, value: '4' }],
    ['another relay', { relay: 'Public' }, { name: env.relay, value: 'Public' }],
    ['another format of the log', { logFormat: 'ECS' }, { name: env.logFormat, value: 'ECS' }],
  ] as const)('has %s where the chart sets it, and not by default', (_, changed, variable) => {
    expect(proxyContainer({ ...request, config: { ...sidecarConfig, ...changed } }).env).toContainEqual(variable);
    expect(proxyContainer(request).env.map(({ name }) => name)).not.toContain(variable.name);
  });
});
