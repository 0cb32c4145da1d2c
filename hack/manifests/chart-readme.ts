// charts/tabard/values.yaml -> charts/tabard/README.md: one row per value with a `# --` comment above it.
import { isMap, isScalar, parseDocument, type YAMLMap } from 'yaml';

interface Row {
  readonly key: string;
  readonly fallback: string;
  readonly text: string;
}

const head = `# The Tabard chart

Mutual TLS for every service of a Kubernetes cluster. Needs Kubernetes 1.30 or newer; works with Helm 3 and 4.

\`\`\`sh
helm install tabard charts/tabard -n tabard-system --create-namespace --wait
helm test tabard -n tabard-system    # injects real pods and lets them call each other
\`\`\`

There is no other step: Tabard makes its CA and the webhook's certificate itself, once, and no upgrade touches them.
[docs/install.md](../../docs/install.md) tells about upgrading, uninstalling and production settings.

## Values

This table is generated from \`values.yaml\` by \`make manifests\`. Values that are not in it are refused.

| value | default | meaning |
|---|---|---|
`;

/** The chart's README. Throws when a value has no comment. */
export function chartReadme(valuesYaml: string): string {
  const document = parseDocument(valuesYaml);
  if (document.errors[0] !== undefined) throw document.errors[0];
  if (!isMap(document.contents)) throw new Error('values.yaml must be a map');
  const rows = rowsOf(document.contents, '');
  return `${head}${rows.map((row) => `| \`${row.key}\` | \`${row.fallback}\` | ${row.text} |\n`).join('')}`;
}

function rowsOf(map: YAMLMap, prefix: string): readonly Row[] {
  let first = true;
  return map.items.flatMap(({ key, value }) => {
    if (!isScalar(key)) throw new Error('keys of values.yaml must be plain');
    const path = `${prefix}${String(key.value)}`;
    // The comment above the first entry of a map is kept with the map itself.
    const comment = key.commentBefore ?? (first ? map.commentBefore : undefined);
    first = false;
    const text = comment?.split('\n').findLast((line) => line.startsWith(' -- '));
    if (text !== undefined) {
      const plain: unknown = isScalar(value) ? value.value : (value as YAMLMap).toJSON();
      return [{ key: path, fallback: JSON.stringify(plain), text: text.slice(4).replaceAll('|', '\\|') }];
    }
    if (!isMap(value)) throw new Error(`values.yaml: ${path} needs a comment that begins with "# -- "`);
    return rowsOf(value, `${path}.`);
  });
}
