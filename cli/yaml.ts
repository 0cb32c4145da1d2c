// JSON values as YAML in block style, for people to read, keep and apply. Texts that YAML could take for something else are quoted as JSON does, which
// YAML 1.2 reads as it is meant. Pure.

/** The lines of a value, each this many blanks in. */
export function yamlLines(value: unknown, indent: number = 0): readonly string[] {
  const blanks = ' '.repeat(indent);
  if (Array.isArray(value)) return value.flatMap((item) => itemLines(item, indent));
  return Object.entries(value as Readonly<Record<string, unknown>>)
    .filter(([, member]) => member !== undefined)
    .flatMap(([name, member]) =>
      isNested(member)
        ? [`${blanks}${scalar(name)}:`, ...yamlLines(member, indent + (Array.isArray(member) ? 0 : 2))]
        : [`${blanks}${scalar(name)}: ${scalar(member)}`],
    );
}

/** `- ` before the first line of an item. */
function itemLines(item: unknown, indent: number): readonly string[] {
  const blanks = ' '.repeat(indent);
  if (!isNested(item)) return [`${blanks}- ${scalar(item)}`];
  const [first = '', ...rest] = yamlLines(item, indent + 2);
  return [`${blanks}- ${first.slice(indent + 2)}`, ...rest];
}

function isNested(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function scalar(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  const isPlain = /^[A-Za-z][A-Za-z0-9_./-]*$/.test(value) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(value);
  return isPlain ? value : JSON.stringify(value);
}
