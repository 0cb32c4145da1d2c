import { describe, expect, test } from '@jest/globals';
import { decide, type Question } from '../../../webhook/decide.ts';
import type { JsonObject } from '../../../webhook/json.ts';
import { sidecarConfig } from '../../support/webhook.ts';

const pod = (annotations: JsonObject = {}, spec: JsonObject = {}): JsonObject => ({
  metadata: { name: 'web', annotations },
  spec: { containers: [{ name: 'web' }], ...spec },
});
const asked = { 'tabard.dev/inject': 'true' };

const outcome = (question: Partial<Question>) => {
  const verdict = decide({
    pod: pod(asked),
    namespace: 'shop',
    namespaceLabels: {},
    askedBy: 'annotation',
    protectedNamespaces: ['kube-system', 'tabard-system'],
    defaults: sidecarConfig.defaults,
    ...question,
  });
  return verdict.kind === 'inject' ? `inject ${verdict.service}` : `${verdict.kind} ${verdict.reason}`;
};

// The golden pods show every other reason; here is how several of them meet.
describe('decide', () => {
  test.each<{ name: string; question: Partial<Question>; expected: string }>([
    { name: 'the annotation asks', question: {}, expected: 'inject web' },
    { name: 'the namespace asks', question: { pod: pod(), askedBy: 'namespace' }, expected: 'inject web' },
    { name: 'nobody asks', question: { pod: pod() }, expected: 'skip not_requested' },
    {
      name: '"false" wins over the namespace, and makes other faults matter no more',
      question: { pod: pod({ 'tabard.dev/inject': 'false', 'tabard.dev/capture': 'x' }), askedBy: 'namespace' },
      expected: 'skip opted_out',
    },
    {
      name: 'a namespace that opted out wins over the annotation',
      question: { namespaceLabels: { 'tabard.dev/injection': 'disabled' } },
      expected: 'skip namespace_opted_out',
    },
    {
      name: 'the selector of the API server is newer than what is known of the namespace',
      question: { pod: pod(), askedBy: 'namespace', namespaceLabels: { 'tabard.dev/injection': 'disabled' } },
      expected: 'inject web',
    },
    {
      name: 'another value of the label neither asks nor forbids',
      question: { namespaceLabels: { 'tabard.dev/injection': 'on' } },
      expected: 'inject web',
    },
    {
      name: 'a protected namespace goes before a bad annotation',
      question: { pod: pod({ 'tabard.dev/inject': 'yes' }), namespace: 'kube-system' },
      expected: 'skip protected_namespace',
    },
    {
      name: 'the host network goes before a conflict',
      question: { pod: pod(asked, { hostNetwork: true, securityContext: { runAsUser: 1616 } }) },
      expected: 'skip host_network',
    },
    {
      name: 'a mark without a sidecar is no injection',
      question: { pod: pod({ ...asked, 'tabard.dev/injected': '1' }, { hostNetwork: true }) },
      expected: 'skip host_network',
    },
    {
      name: 'a sidecar without the mark is not ours',
      question: { pod: pod(asked, { initContainers: [{ name: 'tabard-proxy' }] }) },
      expected: 'refuse reserved_name',
    },
    {
      name: 'a bad annotation goes before a conflict',
      question: { pod: pod({ ...asked, 'tabard.dev/capture': 'x' }, { securityContext: { runAsUser: 1616 } }) },
      expected: 'refuse bad_annotation',
    },
    {
      name: 'an init container of the user may not use our port either',
      question: { pod: pod(asked, { initContainers: [{ name: 'init', ports: [{ containerPort: 16_001 }] }] }) },
      expected: 'refuse reserved_port',
    },
    {
      name: 'a hook that asks our port',
      question: {
        pod: pod(asked, { containers: [{ name: 'web', lifecycle: { preStop: { httpGet: { port: 16_006 } } } }] }),
      },
      expected: 'refuse reserved_port',
    },
    {
      name: 'a probe of another host on that port number',
      question: {
        pod: pod(asked, { containers: [{ name: 'web', livenessProbe: { tcpSocket: { host: 'x', port: 16_020 } } }] }),
      },
      expected: 'inject web',
    },
    {
      name: 'a pod without anything in it',
      question: { pod: { metadata: { annotations: asked } } },
      expected: 'inject pod-e3b0c442',
    },
  ])('$name: $expected', ({ question, expected }) => {
    expect(outcome(question)).toBe(expected);
  });
});
