// Server-side apply and merge patch for the KubeClient in memory: who owns which leaf, conflicts, and the removal of
// fields that their only owner no longer applies. Lists are atomic, as in a CRD without list types, but for
// metadata.ownerReferences (by uid) and metadata.finalizers (by value). The shared cases hold it against a real server.

/** JSON. */
export type Json = Record<string, unknown>;

/** Which leaves each field manager owns; a leaf is the JSON text of its path. */
export type Owners = ReadonlyMap<string, ReadonlySet<string>>;

/** The object and its owners after an apply, or the leaves that others own with another value. */
export type Applied =
  | { readonly ok: true; readonly object: Json; readonly owners: Owners }
  | { readonly ok: false; readonly conflicts: readonly string[] };

const serverFields = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'managedFields',
]);

/** Applies `wanted` over `live` as `manager`. */
export function serverSideApply(
  live: Json,
  owners: Owners,
  wanted: Json,
  as: { manager: string; force: boolean },
): Applied {
  const next = leavesOf(wanted);
  const others = [...owners].filter(([manager]) => manager !== as.manager);
  const conflicts = [...next]
    .filter(([leaf, value]) => others.some(([, set]) => set.has(leaf)) && !same(read(live, leaf), value))
    .map(([leaf]) => leaf);
  if (conflicts.length > 0 && !as.force) return { ok: false, conflicts };
  const after = new Map(owners);
  for (const [manager, set] of others)
    after.set(manager, new Set([...set].filter((leaf) => !conflicts.includes(leaf))));
  after.set(as.manager, new Set(next.keys()));
  const object = structuredClone(live);
  for (const leaf of owners.get(as.manager) ?? []) {
    if (!next.has(leaf) && !others.some(([, set]) => set.has(leaf))) remove(object, JSON.parse(leaf) as Step[]);
  }
  for (const [leaf, value] of next) write(object, JSON.parse(leaf) as Step[], structuredClone(value));
  return { ok: true, object, owners: after };
}

/** The owners after an ordinary write by `manager` that made `before` into `after`: what it changed is its own. */
export function ownersAfterWrite(owners: Owners, before: Json, after: Json, manager: string): Owners {
  const old = leavesOf(before);
  const now = leavesOf(after);
  const changed = new Set([...now].filter(([leaf, value]) => !same(old.get(leaf), value)).map(([leaf]) => leaf));
  const next = new Map<string, ReadonlySet<string>>();
  for (const [name, set] of owners)
    next.set(name, new Set([...set].filter((leaf) => now.has(leaf) && !changed.has(leaf))));
  next.set(manager, new Set([...(next.get(manager) ?? []), ...changed]));
  return next;
}

/** JSON merge patch (RFC 7386). */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

/** True when two JSON values are equal, whatever the order of their members. */
export function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => same(item, b[i]));
  if (!isObject(a) || !isObject(b)) return a === b;
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => same(a[name], b[name]));
}

/** A member's name, or the item of a keyed list: `{"uid": "…"}` or `{"=": "value"}`. */
type Step = string | { readonly uid: unknown } | { readonly '=': unknown };

function leavesOf(object: Json): Map<string, unknown> {
  const leaves = new Map<string, unknown>();
  const walk = (value: unknown, path: readonly Step[]): void => {
    const keyed = keyedItems(value, path);
    if (keyed !== undefined) {
      for (const [step, item] of keyed) leaves.set(JSON.stringify([...path, step]), item);
    } else if (isObject(value) && Object.keys(value).length > 0) {
      for (const [name, member] of Object.entries(value)) if (!isIdentity(name, path)) walk(member, [...path, name]);
    } else if (path.length > 0 && value !== undefined) leaves.set(JSON.stringify(path), value);
  };
  walk(object, []);
  return leaves;
}

function isIdentity(name: string, path: readonly Step[]): boolean {
  if (path.length === 0) return name === 'apiVersion' || name === 'kind';
  return path.length === 1 && path[0] === 'metadata' && serverFields.has(name);
}

function keyedItems(value: unknown, path: readonly Step[]): readonly (readonly [Step, unknown])[] | undefined {
  if (!Array.isArray(value) || path.length !== 2 || path[0] !== 'metadata') return undefined;
  if (path[1] === 'ownerReferences') return value.map((item: Json) => [{ uid: item['uid'] }, item] as const);
  if (path[1] === 'finalizers') return value.map((item: unknown) => [{ '=': item }, item] as const);
  return undefined;
}

function holds(item: unknown, step: Exclude<Step, string>): boolean {
  return '=' in step ? item === step['='] : isObject(item) && item['uid'] === step.uid;
}

function read(object: Json, leaf: string): unknown {
  let value: unknown = object;
  for (const step of JSON.parse(leaf) as Step[]) {
    if (typeof step === 'string') value = isObject(value) ? value[step] : undefined;
    else value = Array.isArray(value) ? value.find((item) => holds(item, step)) : undefined;
  }
  return value;
}

function write(object: Json, path: readonly Step[], value: unknown): void {
  const [step, ...rest] = path;
  if (typeof step !== 'string') return;
  const [following] = rest;
  if (following === undefined) object[step] = value;
  else if (typeof following === 'string') {
    if (!isObject(object[step])) object[step] = {};
    write(object[step] as Json, rest, value);
  } else {
    const list = Array.isArray(object[step]) ? [...(object[step] as unknown[])] : [];
    const at = list.findIndex((item) => holds(item, following));
    if (at < 0) list.push(value);
    else list[at] = value;
    object[step] = list;
  }
}

/** Removes a leaf, and the objects and lists that it leaves empty. */
function remove(object: Json, path: readonly Step[]): void {
  const [step, ...rest] = path;
  if (typeof step !== 'string') return;
  const [following] = rest;
  if (following === undefined) delete object[step];
  else if (typeof following === 'string') {
    const inner = object[step];
    if (!isObject(inner)) return;
    remove(inner, rest);
    if (Object.keys(inner).length === 0) delete object[step];
  } else if (Array.isArray(object[step])) {
    const list = object[step].filter((item: unknown) => !holds(item, following));
    if (list.length === 0) delete object[step];
    else object[step] = list;
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
