// Writes kubeconfig files with everything inside, so that one file is all a client needs.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a kubeconfig says. */
export interface KubeconfigContent {
  /** Name of cluster, user and context. */
  readonly name: string;
  readonly server: string;
  /** Folder of certificates and the base name of the client's. */
  readonly pki: string;
  readonly client: string;
}

/** Writes a kubeconfig, readable by its owner only. */
export function writeKubeconfig(file: string, content: KubeconfigContent): void {
  const inline = (name: string): string => readFileSync(join(content.pki, name)).toString('base64');
  const text = `apiVersion: v1
kind: Config
clusters:
- name: ${content.name}
  cluster:
    server: ${content.server}
    certificate-authority-data: ${inline('ca.crt')}
users:
- name: ${content.name}
  user:
    client-certificate-data: ${inline(`${content.client}.crt`)}
    client-key-data: ${inline(`${content.client}.key`)}
contexts:
- name: ${content.name}
  context:
    cluster: ${content.name}
    user: ${content.name}
current-context: ${content.name}
`;
  writeFileSync(file, text, { mode: 0o600 });
}
