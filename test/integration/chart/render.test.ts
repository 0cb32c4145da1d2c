// What the chart renders, by the real helm: which values it refuses, and what must hold for every object.
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { tokenFileName } from '../../../operator/issuers/vault/credentials.ts';
import { webhookEntries } from '../../../webhook/configuration.ts';
import { policyEntries } from '../../../webhook/policyentries.ts';
import { chart, type Helm, openHelm, type Rendered } from '../../support/helm.ts';

// Each test starts processes, beside whatever else this machine does.
jest.setTimeout(60_000);

let helm: Helm;
let objects: readonly Rendered[];

beforeAll(async () => {
  helm = await openHelm();
  objects = await helm.render();
}, 300_000);

afterAll(() => {
  helm?.close();
});

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly resources: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly readinessProbe: unknown;
  readonly livenessProbe: unknown;
  readonly securityContext: unknown;
}

interface PodSpec {
  readonly containers: readonly [Container];
  readonly priorityClassName?: string;
  readonly enableServiceLinks: boolean;
  readonly securityContext: unknown;
  readonly topologySpreadConstraints: unknown;
  readonly affinity: Readonly<Record<string, unknown>>;
  readonly terminationGracePeriodSeconds: number;
}

interface DeploymentSpec {
  readonly replicas: number;
  readonly strategy: unknown;
  readonly template: { readonly metadata: Rendered['metadata']; readonly spec: PodSpec };
}

interface Rule {
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

const find = (list: readonly Rendered[], kind: string, name: string): Rendered => {
  const found = list.find((object) => object.kind === kind && object.metadata.name === name);
  if (found === undefined) throw new Error(`${kind} ${name} is not rendered`);
  return found;
};
const deployment = (list: readonly Rendered[], name: string) =>
  find(list, 'Deployment', name)['spec'] as DeploymentSpec;
const parts = ['operator', 'webhook'] as const;

describe('the chart', () => {
  test('passes helm lint --strict', async () => {
    expect(await helm.ok('lint', '--strict', chart)).toContain('0 chart(s) failed');
  });

  test('renders the same text each time, so that no upgrade makes keys anew', async () => {
    const first = await helm.ok('template', 'tabard', chart, '-n', 'tabard-system');
    expect(await helm.ok('template', 'tabard', chart, '-n', 'tabard-system')).toBe(first);
  });

  test('holds no Secret, no caBundle and no finalizer', () => {
    expect(objects.filter(({ kind }) => kind === 'Secret')).toEqual([]);
    // Schemas name fields of that name; only values count.
    const written = objects.filter(({ kind }) => kind !== 'CustomResourceDefinition');
    expect(JSON.stringify(written)).not.toContain('caBundle');
    expect(JSON.stringify(objects)).not.toContain('finalizers');
  });

  test('labels every object with the chart, the release and commonLabels', async () => {
    for (const { kind, metadata } of await helm.render('commonLabels.team=security')) {
      expect({ kind, name: metadata.name, labels: metadata.labels }).toMatchObject({
        labels: {
          'app.kubernetes.io/part-of': 'tabard',
          'app.kubernetes.io/instance': 'tabard',
          'app.kubernetes.io/managed-by': 'Helm',
          team: 'security',
        },
      });
    }
  });

  test('puts every namespaced object into the namespace of the release, but for its test', () => {
    const clusterWide =
      /^(ClusterRole|ClusterRoleBinding|CustomResourceDefinition|MutatingWebhookConfiguration|Namespace|Validating(WebhookConfiguration|AdmissionPolicy(Binding)?))$/;
    for (const { kind, metadata } of objects.filter((object) => !clusterWide.test(object.kind))) {
      const wanted = metadata.annotations?.['helm.sh/hook'] === 'test' ? 'tabard-system-helm-test' : 'tabard-system';
      expect({ kind, name: metadata.name, namespace: metadata.namespace }).toEqual({
        kind,
        name: metadata.name,
        namespace: wanted,
      });
    }
  });

  test("writes exactly the webhook's own entries, without a caBundle", () => {
    expect(find(objects, 'MutatingWebhookConfiguration', 'tabard-webhook')['webhooks']).toEqual(
      webhookEntries('tabard-system'),
    );
    expect(find(objects, 'ValidatingWebhookConfiguration', 'tabard-webhook')['webhooks']).toEqual(
      policyEntries('tabard-system'),
    );
  });

  test('gives a reason beside every rule of RBAC', async () => {
    for (const part of parts) {
      const text = await helm.ok('template', 'tabard', chart, '-n', 'x', '-s', `templates/${part}/rbac.yaml`);
      const lines = text.split('\n');
      const rules = lines.flatMap((line, index) => (line.startsWith('  - apiGroups') ? [index] : []));
      expect(rules.length).toBeGreaterThan(3);
      const silent = rules.filter(
        (index) => !lines[index - 1]?.trim().startsWith('#') && !lines[index - 1]?.trim().startsWith('verbs:'),
      );
      expect(silent.map((index) => lines[index])).toEqual([]);
    }
  });
});

describe.each(parts)('the %s', (part) => {
  test('runs twice, rolls without a gap and keeps one through a drain', () => {
    const { replicas, strategy } = deployment(objects, `tabard-${part}`);
    expect({ replicas, strategy }).toEqual({
      replicas: 2,
      strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
    });
    expect(find(objects, 'PodDisruptionBudget', `tabard-${part}`)['spec']).toMatchObject({ maxUnavailable: 1 });
  });

  test('gives up every right that a container can', () => {
    const { spec } = deployment(objects, `tabard-${part}`).template;
    expect(spec.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 1616,
      runAsGroup: 1616,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(spec.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  test('hears nothing of Services in its environment, which would look like its settings', () => {
    expect(deployment(objects, `tabard-${part}`).template.spec.enableServiceLinks).toBe(false);
  });

  test('states its resources, priority and spread, and is asked for its health', () => {
    const { spec } = deployment(objects, `tabard-${part}`).template;
    const [container] = spec.containers;
    expect(Object.keys(container.resources)).toEqual(['limits', 'requests']);
    expect(spec.priorityClassName).toBe('system-cluster-critical');
    expect(spec.topologySpreadConstraints).toHaveLength(1);
    expect(Object.keys(spec.affinity)).toEqual(['podAntiAffinity']);
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(35);
    expect(container.readinessProbe).toMatchObject({ httpGet: { port: 'admin', path: '/ready' } });
    expect(container.livenessProbe).toMatchObject({ httpGet: { port: 'admin', path: '/live' } });
    const [node, ...args]: readonly string[] = container.command;
    expect([node, args.at(-1)]).toEqual(['/usr/local/bin/node', `/app/${part}.js`]);
    expect(args.slice(0, -1).filter((flag) => !flag.startsWith('--'))).toEqual([]);
    expect(args).toContain('--disable-warning=ExperimentalWarning');
  });

  test('runs where and how the values say', async () => {
    const list = await helm.render(
      `${part}.replicas=3`,
      `${part}.nodeSelector.pool=system`,
      `${part}.affinity.nodeAffinity.a=b`,
      'priorityClassName=',
      `${part}.tolerations[0].operator=Exists`,
      `${part}.podAnnotations.note=yes`,
      'imagePullSecrets[0].name=pull',
      'metrics.annotations=false',
    );
    const { replicas, template } = deployment(list, `tabard-${part}`);
    expect({ replicas, ...template.spec }).toMatchObject({
      replicas: 3,
      nodeSelector: { pool: 'system' },
      affinity: { nodeAffinity: { a: 'b' } },
      tolerations: [{ operator: 'Exists' }],
      imagePullSecrets: [{ name: 'pull' }],
    });
    expect(template.spec.priorityClassName).toBeUndefined();
    expect(template.metadata.annotations).toEqual({ 'kubectl.kubernetes.io/default-container': part, note: 'yes' });
    expect(list.filter(({ kind }) => kind === 'ResourceQuota')).toEqual([]);
  });
});

describe('the image', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  test.each([
    ['has the tag of the release', [], 'tabard.dev/tabard:0.1.0'],
    ['has the tag that is asked for', ['image.tag=1.2.3'], 'tabard.dev/tabard:1.2.3'],
    [
      'has the digest that is asked for, whatever the tag',
      [`image.tag=v1,image.digest=${digest}`],
      `tabard.dev/tabard@${digest}`,
    ],
    [
      'comes from where is asked for',
      ['image.repository=registry.example:5000/a/b'],
      'registry.example:5000/a/b:0.1.0',
    ],
  ])('%s, for every container and the sidecar', async (_, args, image) => {
    const list = await helm.render(...args);
    const images = parts.map((part) => deployment(list, `tabard-${part}`).template.spec.containers[0].image);
    const test = deployment(list, 'server').template.spec.containers[0].image;
    const sidecar = deployment(list, 'tabard-webhook').template.spec.containers[0].env.find(
      ({ name }) => name === 'TABARD_IMAGE',
    )?.value;
    expect([...images, test, sidecar]).toEqual([image, image, image, image]);
  });
});

describe('a switch', () => {
  const kinds = (list: readonly Rendered[]) => new Set(list.map(({ kind }) => kind));

  test('leaves the CRDs out', async () => {
    expect(kinds(await helm.render('crds.enabled=false'))).not.toContain('CustomResourceDefinition');
  });

  test('takes the keep policy from the CRDs', async () => {
    const policies = (list: readonly Rendered[]) =>
      list
        .filter(({ kind }) => kind === 'CustomResourceDefinition')
        .map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy']);
    expect(policies(objects).length).toBeGreaterThan(1);
    expect(new Set(policies(objects))).toEqual(new Set(['keep']));
    expect(new Set(policies(await helm.render('crds.keep=false')))).toEqual(new Set([undefined]));
  });

  test('leaves the NetworkPolicies out, or narrows them', async () => {
    expect(kinds(await helm.render('networkPolicy.enabled=false'))).not.toContain('NetworkPolicy');
    const narrow = await helm.render(
      'networkPolicy.apiServerPorts={443,6443}',
      'networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.team=metrics',
    );
    expect(find(narrow, 'NetworkPolicy', 'tabard-webhook')['spec']).toMatchObject({
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { ports: [{ port: 16443 }] },
        { ports: [{ port: 16020 }], from: [{ namespaceSelector: { matchLabels: { team: 'metrics' } } }] },
      ],
      egress: [{ ports: [{ port: 443 }, { port: 6443 }] }],
    });
    const vault = await helm.render('networkPolicy.apiServerPorts={6443}', 'networkPolicy.issuerPorts={8200}');
    expect(find(vault, 'NetworkPolicy', 'tabard-operator')['spec']).toMatchObject({
      egress: [
        { ports: [{ port: 6443 }] },
        { ports: [{ port: 16010 }] },
        { ports: [{ port: 8200 }, { port: 53, protocol: 'UDP' }, { port: 53, protocol: 'TCP' }] },
      ],
    });
  });

  test('mounts a token for each audience, under the name that the operator looks for', async () => {
    const list = await helm.render('issuers.tokenAudiences={vault,https://vault.example.com:8200/x}');
    const text = JSON.stringify(deployment(list, 'tabard-operator'));
    for (const audience of ['vault', 'https://vault.example.com:8200/x']) {
      const token = { audience, expirationSeconds: 3600, path: tokenFileName(audience) };
      expect(text).toContain(JSON.stringify({ serviceAccountToken: token }));
    }
    const none = await helm.render('issuers.tokenAudiences=null');
    expect(JSON.stringify(deployment(none, 'tabard-operator'))).not.toContain('serviceAccountToken');
  });

  test('gives rights on signing requests for the signers that are listed, and to approve where that is said', async () => {
    const requests = (list: readonly Rendered[]): unknown[] => {
      const { rules } = find(list, 'ClusterRole', 'tabard-operator') as unknown as { readonly rules: readonly Rule[] };
      return rules.filter(({ resources: [first] }) => first?.startsWith('certificatesigningrequests') === true);
    };
    const approving = (list: readonly Rendered[]): unknown[] => {
      const { rules } = find(list, 'ClusterRole', 'tabard-operator') as unknown as { readonly rules: readonly Rule[] };
      return rules.filter(({ verbs }) => verbs.includes('approve')).map(({ resourceNames }) => resourceNames);
    };
    expect([requests(objects), approving(objects)]).toEqual([[], []]);
    const asking = await helm.render('issuers.signers[0].name=example.com/mesh');
    expect([requests(asking).length, approving(asking)]).toEqual([1, []]);
    const both = await helm.render('issuers.signers[0].name=example.com/mesh,issuers.signers[0].approve=true');
    expect([requests(both).length, approving(both)]).toEqual([2, [['example.com/mesh']]]);
  });

  test('adds PodMonitors for the control plane and the sidecars', async () => {
    expect(kinds(objects)).not.toContain('PodMonitor');
    const list = await helm.render('podMonitor.enabled=true,podMonitor.labels.release=prometheus');
    const monitors = list.filter(({ kind }) => kind === 'PodMonitor');
    expect(monitors.map(({ metadata }) => [metadata.name, metadata.labels['release']])).toEqual([
      ['tabard', 'prometheus'],
      ['tabard-sidecars', 'prometheus'],
    ]);
  });

  test('adds alerts, whose own templates are left to Prometheus', async () => {
    expect(kinds(objects)).not.toContain('PrometheusRule');
    const list = await helm.render('prometheusRule.enabled=true,prometheusRule.rotationStuckAfter=3h');
    const [rule] = list.filter(({ kind }) => kind === 'PrometheusRule');
    const text = JSON.stringify(rule);
    expect(text).toContain('{{ $labels.namespace }}/{{ $labels.service }}');
    expect(text).toContain('"for":"3h"');
  });

  test('leaves the roles for users out', async () => {
    const list = await helm.render('rbac.aggregate=false');
    expect(list.filter(({ kind }) => kind === 'ClusterRole').map(({ metadata }) => metadata.name)).toEqual([
      'tabard-operator',
      'tabard-webhook',
    ]);
  });
});

describe('a value that cannot work is refused', () => {
  test.each([
    ['that the chart does not know', 'operator.replica=2', "additional properties 'replica' not allowed"],
    ['without a trust domain', 'trustDomain=', 'trustDomain'],
    ['with a trust domain that is no domain', 'trustDomain=My_Domain', 'trustDomain'],
    ['with no replica', 'operator.replicas=0', 'operator'],
    ['with replicas in words', 'webhook.replicas=two', 'webhook'],
    ['with an unknown pull policy', 'image.pullPolicy=Sometimes', 'pullPolicy'],
    ['with half a digest', 'image.digest=sha256:abc', 'digest'],
    ['with an unknown log level', 'logLevel=loud', 'logLevel'],
    ['with CPU in words', 'sidecar.cpu=much', 'cpu'],
    ['with memory as a list', 'sidecar.memory={64Mi}', 'memory'],
    ['with a lifetime in days for the shortest', 'testing.minimumLifetime=1d', 'minimumLifetime'],
    ['with no lifetime for the shortest', 'testing.minimumLifetime=0s', 'minimumLifetime'],
    ['with an issuer for years', 'issuer.lifetime=10y', 'lifetime'],
    ['with a port that is none', 'networkPolicy.apiServerPorts={70000}', 'apiServerPorts'],
    ['with a signer that is no signer', 'issuers.signers[0].name=mesh', 'signers'],
    ['with a switch that is a word', 'crds.enabled=perhaps', 'enabled'],
  ])('%s (%s)', async (_, value, says) => {
    const { code, stderr } = await helm.run('template', 'tabard', chart, '-n', 'tabard-system', '--set', value);
    expect(stderr).toContain("values don't meet the specifications of the schema");
    expect(stderr).toContain(says);
    expect(code).toBe(1);
  });

  test('and so is a namespace of Kubernetes itself, with the command that works', async () => {
    const { code, stderr } = await helm.run('template', 'tabard', chart, '-n', 'kube-system');
    expect(stderr).toContain('-n tabard-system --create-namespace');
    expect(code).toBe(1);
  });

  test('and so is a Kubernetes without native sidecars', async () => {
    const { code, stderr } = await helm.run('template', 'tabard', chart, '-n', 'x', '--kube-version', '1.29.9');
    expect(stderr).toContain('>=1.30.0-0');
    expect(code).toBe(1);
  });
});
