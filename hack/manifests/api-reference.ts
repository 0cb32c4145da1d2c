// crds/*.yaml -> docs/api.md: every field with type, default and meaning, and every rule of the schema in its own words.
import { parse } from 'yaml';

/** The members of a structural schema that the reference shows. */
export interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema;
  readonly items?: Schema;
  readonly 'x-kubernetes-validations'?: readonly {
    readonly rule: string;
    readonly fieldPath?: string;
    readonly message: string;
  }[];
}

/** A CustomResourceDefinition, as far as the reference needs it. */
export interface Crd {
  readonly spec: {
    readonly group: string;
    readonly scope: string;
    readonly names: { readonly kind: string; readonly plural: string; readonly shortNames: readonly string[] };
    readonly versions: readonly [{ readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }];
  };
}

const head = `# API reference

Generated from \`crds/\` by \`make manifests\`; \`kubectl explain tlspolicy.spec\` shows the same. What a rule refuses, it refuses when the
object is applied, with the field and what is accepted. Durations are whole numbers with the units d, h, m, s and ms, the largest first,
such as \`1d12h\`.
`;

/** The text of docs/api.md, kinds in the order given. */
export function apiReference(crdTexts: readonly string[]): string {
  return head + crdTexts.map((text) => kindSection(parse(text) as Crd)).join('');
}

function kindSection(crd: Crd): string {
  const { names, group, scope, versions } = crd.spec;
  const schema = versions[0].schema.openAPIV3Schema;
  const part = (name: string) => schema.properties?.[name] ?? {};
  return `
## ${names.kind}

\`${group}/${versions[0].name}\`, ${scope === 'Cluster' ? 'cluster-wide' : 'namespaced'}, short name \`${names.shortNames.join('`, `')}\`. ${schema.description ?? ''}

### spec of ${names.kind}

${part('spec').description ?? ''}

${table(part('spec'), true)}
Rules:

${rules(part('spec'), 'spec').join('\n')}

### status of ${names.kind}

${part('status').description ?? ''}

${table(part('status'), false)}`;
}

function table(schema: Schema, withDefault: boolean): string {
  const rows = fields(schema, '').map(({ path, field }) => {
    const fallback = withDefault ? ` ${defaultText(field)} |` : '';
    return `| \`${path}\` | ${typeText(field)} |${fallback} ${cell(field.description ?? field.items?.description ?? '')} |\n`;
  });
  const columns = withDefault
    ? '| field | type | default | meaning |\n|---|---|---|---|\n'
    : '| field | type | meaning |\n|---|---|---|\n';
  return columns + rows.join('');
}

function fields(schema: Schema, prefix: string): readonly { readonly path: string; readonly field: Schema }[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const path = `${prefix}${name}`;
    const inner = field.items === undefined ? fields(field, `${path}.`) : fields(field.items, `${path}[].`);
    return [{ path, field }, ...inner];
  });
}

function typeText(field: Schema): string {
  if (field.items !== undefined) return `list of ${typeText(field.items)}`;
  if (field.additionalProperties !== undefined) return `map of ${typeText(field.additionalProperties)}`;
  if (field.enum !== undefined && field.enum.length <= 6)
    return field.enum.map((each) => `\`${String(each)}\``).join(', ');
  if (field.format === 'date-time') return 'time';
  return field.type ?? 'any';
}

function defaultText(field: Schema): string {
  if (field.default === undefined || field.type === 'object') return '';
  return `\`${typeof field.default === 'string' ? field.default : JSON.stringify(field.default)}\``;
}

function rules(schema: Schema, path: string): readonly string[] {
  const own = (schema['x-kubernetes-validations'] ?? []).map(
    (rule) => `- \`${path}${rule.fieldPath ?? ''}\` ${rule.message}`,
  );
  const nested = Object.entries(schema.properties ?? {}).flatMap(([name, field]) => rules(field, `${path}.${name}`));
  const items = schema.items === undefined ? [] : rules(schema.items, `${path}[]`);
  const values = schema.additionalProperties === undefined ? [] : rules(schema.additionalProperties, `${path}.*`);
  return [...own, ...nested, ...items, ...values];
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
