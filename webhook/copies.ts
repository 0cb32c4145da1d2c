// Which annotations of a workload object go into its pod template, and which come out again. A record on the object names what was
// copied, so that what the author wrote into the template is never taken for a copy. Pure.
import { annotations as keys } from '../lib/api/contract.ts';
import { type Annotations, annotationRules } from './annotations.ts';

/** The annotations before and after one request, by where they stand. */
export interface CopyQuestion {
  /** What the object asks for now, and asked for before this request (equal on CREATE). */
  readonly wanted: Annotations;
  readonly wantedBefore: Annotations;
  /** The pod template's annotations as the request brings them. */
  readonly template: Annotations;
  /** `tabard.dev/copied` of the object. */
  readonly record: string | undefined;
}

/** What to change in the template (undefined = remove) and the new record (undefined = none). */
export interface CopyAnswer {
  readonly changes: Readonly<Record<string, string | undefined>>;
  readonly record: string | undefined;
  /** Keys of which the template's own value goes before another one on the object. */
  readonly overruled: readonly string[];
}

const prefix = 'tabard.dev/';

/**
 * Copies each annotation that the object carries and the template does not. The template's own value wins, but for
 * `inject: "false"`, which wins wherever it stands. What was copied before follows the object: changed with it, removed with it.
 */
export function copiesOf({ wanted, wantedBefore, template, record }: CopyQuestion): CopyAnswer {
  const recorded = parseRecord(record);
  const changes: Record<string, string | undefined> = {};
  const kept = new Map<string, string | undefined>();
  const overruled: string[] = [];
  const change = (key: string, value: string | undefined) => {
    if (template[key] !== value) changes[key] = value;
  };
  for (const key of Object.keys(annotationRules)) {
    const [now, present] = [wanted[key], template[key]];
    const isCopy =
      recorded.has(key) && present !== undefined && (present === wantedBefore[key] || present === wanted[key]);
    const replaced = isCopy ? recorded.get(key) : present;
    if (now === undefined) {
      if (isCopy) change(key, replaced);
    } else if (replaced === undefined || (key === keys.inject && now === 'false' && replaced !== 'false')) {
      change(key, now);
      kept.set(key, replaced);
    } else {
      change(key, replaced);
      if (replaced !== now) overruled.push(key);
    }
  }
  return { changes, record: formatRecord(kept), overruled };
}

/** `inject,proxy-cpu`, or `inject=true` where a value of the template was overruled and is to come back. */
function formatRecord(kept: ReadonlyMap<string, string | undefined>): string | undefined {
  if (kept.size === 0) return undefined;
  return [...kept]
    .map(([key, replaced]) => key.slice(prefix.length) + (replaced === undefined ? '' : `=${replaced}`))
    .join(',');
}

function parseRecord(record: string | undefined): ReadonlyMap<string, string | undefined> {
  const items = (record ?? '').split(',').filter((item) => item !== '');
  return new Map(
    items.map((item) => {
      const [name = '', replaced] = item.split('=');
      return [`${prefix}${name}`, replaced];
    }),
  );
}
