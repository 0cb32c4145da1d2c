// crds/*.yaml -> templates of the chart: Helm upgrades a CRD only when it is a template, so the copy carries a switch, the
// keep policy, the chart's labels and the lower bound of lifetimes, which is a value for demos and tests.

const header = (name: string) => `{{- /* Generated from crds/${name} by \`make manifests\`; do not edit. */}}`;

const keep = `  {{- if .Values.crds.keep }}
  annotations:
    # Policies outlive the release: deleting a CRD deletes every object of its kind.
    helm.sh/resource-policy: keep
  {{- end }}
`;

const labels = `  labels:
    {{- include "tabard.labels" (dict "context" $) | nindent 4 }}
`;

/** Texts that carry the lower bound of lifetimes, by CRD, and what the chart writes in their place. */
const bounds: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  tlspolicies: [
    ["duration('10m')", "duration('{{ .Values.testing.minimumLifetime }}')"],
    ['from 10m to 90d', 'from {{ .Values.testing.minimumLifetime }} to 90d'],
  ],
  tlsissuers: [
    ["duration('24h')", "duration('{{ .Values.testing.minimumAuthorityLifetime }}')"],
    ['from 1d to 7300d', 'from {{ .Values.testing.minimumAuthorityLifetime }} to 7300d'],
  ],
};

/** The chart's template for one CRD file. Throws when the file lacks what must be replaced. */
export function chartCrd(name: string, text: string): string {
  if (text.includes('{{')) throw new Error(`crds/${name} contains "{{", which Helm would take for a template`);
  const body = text.replace(/^(#.*\n)+/, '');
  const withLabels = replaced(name, body, '  labels:\n    app.kubernetes.io/part-of: tabard\n', keep + labels);
  const plural = name.replace(/^.*_|[.]yaml$/g, '');
  const bounded = (bounds[plural] ?? []).reduce((result, [from, to]) => replaced(name, result, from, to), withLabels);
  return `${header(name)}\n{{- if .Values.crds.enabled }}\n${bounded}{{- end }}\n`;
}

function replaced(name: string, text: string, from: string, to: string): string {
  if (!text.includes(from)) throw new Error(`crds/${name} lacks ${JSON.stringify(from)}, which the chart must replace`);
  return text.replaceAll(from, to);
}
