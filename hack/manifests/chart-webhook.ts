// webhook/configuration.ts -> the chart's MutatingWebhookConfiguration. There is no caBundle in it: the webhook writes that
// field, and since Helm never states it, no upgrade empties it.
import { stringify } from 'yaml';
import { names } from '../../lib/api/contract.ts';
import { webhookEntries } from '../../webhook/configuration.ts';

/** Stands for the release's namespace until the text is a template. */
const PLACE = 'release-namespace';

/** The chart's template of the MutatingWebhookConfiguration. */
export function chartWebhookConfiguration(): string {
  const entries = stringify(webhookEntries(PLACE), { lineWidth: 0, aliasDuplicateObjects: false });
  if (entries.includes('{{')) throw new Error('a webhook entry contains "{{", which Helm would take for a template');
  return `{{- /* Generated from webhook/configuration.ts by \`make manifests\`; do not edit. The webhook fills in caBundle. */}}
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
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
