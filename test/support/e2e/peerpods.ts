// Builders for the pods and Services of the programs that terminate TLS themselves.
import type { Raw } from './kit.ts';

export interface PeerOptions {
  readonly namespace: string;
  readonly name: string;
  readonly image: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly containers: readonly Raw[];
  /** Merged into the pod spec. */
  readonly pod?: Raw;
}

/** A Deployment with one pod of these containers. */
export function peerDeployment({ namespace, name, image, annotations = {}, containers, pod = {} }: PeerOptions): Raw {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, annotations },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          terminationGracePeriodSeconds: 2,
          containers: containers.map((each) => ({ image, imagePullPolicy: 'IfNotPresent', ...each })),
          ...pod,
        },
      },
    },
  };
}

/** A Service with one port. */
export function peerService(
  namespace: string,
  name: string,
  {
    port,
    targetPort = port,
    app = name,
  }: { readonly port: number; readonly targetPort?: number; readonly app?: string },
): Raw {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: { selector: { app }, ipFamilyPolicy: 'PreferDualStack', ports: [{ port, targetPort }] },
  };
}
