// Reading of raw JSON: an AdmissionReview and the objects in it stay exactly what the API server sent, with fields that
// no model here knows. A reader returns undefined where the shape is another one; nothing throws and nothing is copied.

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
/** A JSON object. */
export interface JsonObject {
  readonly [key: string]: Json;
}
/** Steps from a value down to a member: keys of objects, positions in arrays. */
export type Path = readonly (string | number)[];

/** Whether a value is an object (no array, not null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at the path; undefined where a step leads nowhere. */
export function valueAt(value: Json | undefined, ...path: Path): Json | undefined {
  let current = value;
  for (const step of path) {
    if (Array.isArray(current)) current = typeof step === 'number' ? current[step] : undefined;
    else if (isObject(current)) current = Object.hasOwn(current, step) ? current[step] : undefined;
    else return undefined;
  }
  return current;
}

/** The object at the path; undefined where there is none. */
export function objectAt(value: Json | undefined, ...path: Path): JsonObject | undefined {
  const found = valueAt(value, ...path);
  return isObject(found) ? found : undefined;
}

/** The array at the path; empty where there is none. */
export function arrayAt(value: Json | undefined, ...path: Path): readonly Json[] {
  const found = valueAt(value, ...path);
  return Array.isArray(found) ? found : [];
}

/** The string at the path; undefined where there is none. */
export function stringAt(value: Json | undefined, ...path: Path): string | undefined {
  const found = valueAt(value, ...path);
  return typeof found === 'string' ? found : undefined;
}

/** The number at the path; undefined where there is none. */
export function numberAt(value: Json | undefined, ...path: Path): number | undefined {
  const found = valueAt(value, ...path);
  return typeof found === 'number' ? found : undefined;
}

/** Whether the value at the path is `true`. */
export function isTrueAt(value: Json | undefined, ...path: Path): boolean {
  return valueAt(value, ...path) === true;
}

/** The members of the object at the path that are strings: labels, annotations. */
export function stringsAt(value: Json | undefined, ...path: Path): Readonly<Record<string, string>> {
  const entries = Object.entries(objectAt(value, ...path) ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** Whether two values are equal as JSON; the order of members does not matter. */
export function isEqual(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => isEqual(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isEqual(a[key], b[key]));
}
