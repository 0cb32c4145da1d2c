// webhook/configuration.ts and webhook/policyentries.ts -> the chart's webhook configurations. There is no caBundle in them: the webhook writes
// that field, and since Helm never states it, no upgrade empties it.
import { stringify } from 'yaml';
import { names } from '../../lib/api/contract.ts';
import { webhookEntries } from '../../webhook/configuration.ts';
import { policyEntries } from '../../webhook/policyentries.ts';

/** Stands for the release's namespace until the text is a template. */
const PLACE = 'release-namespace';

/** The chart's template of the MutatingWebhookConfiguration. */
export function chartWebhookConfiguration(): string {
  return configuration('MutatingWebhookConfiguration', 'webhook/configuration.ts', webhookEntries(PLACE));
}

/** The chart's template of the ValidatingWebhookConfiguration. */
export function chartPolicyConfiguration(): string {
  return configuration('ValidatingWebhookConfiguration', 'webhook/policyentries.ts', policyEntries(PLACE));
}

function configuration(kind: string, source: string, webhooks: readonly object[]): string {
  const entries = stringify(webhooks, { lineWidth: 0, aliasDuplicateObjects: false });
  if (entries.includes('{{')) throw new Error('a webhook entry contains "{{", which Helm would take for a template');
  return `{{- /* Generated from ${source} by \`make manifests\`; do not edit. The webhook fills in caBundle. */}}
apiVersion: admissionregistration.k8s.io/v1
kind: ${kind}
metadata:
  name: ${names.webhookConfiguration}
  labels:
    {{- include "tabard.labels" (dict "context" $ "component" "webhook") | nindent 4 }}
webhooks:
${entries
  .trimEnd()
  .split('\n')
  .map((line) => `  ${line}`)
  .join('\n')
  .replaceAll(PLACE, '{{ .Release.Namespace }}')}
`;
}
