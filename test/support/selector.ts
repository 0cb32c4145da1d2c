// Label and field selectors in kubectl's notation, as far as Tabard uses them, for the KubeClient in memory.
import type { KubeObject } from '../../lib/kube/object.ts';

/** True when the object is in the selection of a list or a watch. */
export function selects(
  selection: { readonly namespace?: string; readonly labelSelector?: string; readonly fieldSelector?: string },
  object: KubeObject,
): boolean {
  return (
    (selection.namespace === undefined || selection.namespace === object.metadata.namespace) &&
    labelsMatch(selection.labelSelector ?? '', object.metadata.labels ?? {}) &&
    fieldsMatch(selection.fieldSelector ?? '', object)
  );
}

function labelsMatch(selector: string, labels: Readonly<Record<string, string>>): boolean {
  // Commas inside parentheses separate the values of a set, not requirements.
  return selector
    .split(/,(?![^(]*\))/)
    .filter((part) => part.trim() !== '')
    .every((part) => requirement(part.trim(), labels));
}

function requirement(text: string, labels: Readonly<Record<string, string>>): boolean {
  const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = '', operator, values = ''] = set;
    const listed = values.split(',').some((value) => value.trim() === labels[key]);
    return operator === 'in' ? listed : !listed;
  }
  const equality = /^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$/.exec(text);
  if (equality !== null) {
    const [, key = '', operator, value] = equality;
    return operator === '!=' ? labels[key] !== value : labels[key] === value;
  }
  return text.startsWith('!') ? !(text.slice(1).trim() in labels) : text in labels;
}

function fieldsMatch(selector: string, object: KubeObject): boolean {
  return selector
    .split(',')
    .filter((part) => part !== '')
    .every((part) => {
      const [, path = '', operator, value = ''] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? [];
      let found: unknown = object;
      for (const step of path.split('.')) found = (found as Readonly<Record<string, unknown>> | undefined)?.[step];
      const text = typeof found === 'string' ? found : '';
      return operator === '!=' ? text !== value : text === value;
    });
}
