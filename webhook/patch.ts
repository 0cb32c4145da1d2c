// Builds a JSON Patch (RFC 6902) beside a working copy of the document: each change is seen by the next one, so that
// positions are right and absent parents are made. Nothing is ever re-serialized: what no change names stays as it came.
import { AppError } from '../lib/errors.ts';
import { isEqual, isObject, type Json, type JsonObject, type Path } from './json.ts';

/** One operation. `test`, `copy` and `move` are not needed here. */
export type PatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: Json }
  | { readonly op: 'remove'; readonly path: string };

/** The JSON Pointer of a path (RFC 6901 section 3: `~` and `/` inside a key are escaped). */
export function pointer(path: Path): string {
  return path.map((step) => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** Collects operations. The document that was given is never changed. */
export class PatchBuilder {
  readonly #operations: PatchOperation[] = [];
  #document: JsonObject;

  constructor(document: JsonObject) {
    this.#document = document;
  }

  /** The document with all changes so far. */
  get document(): JsonObject {
    return this.#document;
  }

  /** The operations so far, in order. Empty when nothing had to change. */
  get operations(): readonly PatchOperation[] {
    return this.#operations;
  }

  /**
   * Gives the member of an object (or the existing item of an array) this value; parents that are absent or null become objects.
   * Does nothing when it has that value. Throws AppError `input_invalid` when the path leads through something else.
   */
  set(path: Path, value: Json): void {
    const parents = path.slice(0, -1);
    const key = path.at(-1);
    if (key === undefined) throw invalid(path, 'names no member');
    const missing = parents.findIndex((_, index) => this.#at(parents.slice(0, index + 1)) === undefined);
    if (missing >= 0) {
      const nested = path.slice(missing + 1).reduceRight<Json>((inner, step) => ({ [step]: inner }), value);
      this.#add(path.slice(0, missing + 1), nested);
      return;
    }
    const before = this.#at(path);
    if (before === undefined) this.#add(path, value);
    else if (!isEqual(before, value)) this.#record({ op: 'replace', path: pointer(path), value }, path);
  }

  /** Puts an item into the array at this position; the array is made where it is absent or null. */
  insert(path: Path, index: number, value: Json): void {
    const list = this.#at(path);
    if (list === undefined) {
      this.set(path, [value]);
      return;
    }
    if (!Array.isArray(list) || index > list.length) throw invalid(path, `has no position ${index}`);
    this.#record({ op: 'add', path: pointer([...path, index]), value }, [...path, index]);
  }

  /** Puts an item at the end of the array. */
  append(path: Path, value: Json): void {
    const list = this.#at(path);
    this.insert(path, Array.isArray(list) ? list.length : 0, value);
  }

  /** Takes a member or an item away; does nothing when it is absent. */
  remove(path: Path): void {
    if (this.#at(path) === undefined) return;
    this.#record({ op: 'remove', path: pointer(path) }, path);
  }

  /** `null` counts as absent: an `add` on it replaces it (RFC 6902 section 4.1), and the API reads it as not set. */
  #at(path: Path): Json | undefined {
    let current: Json | undefined = this.#document;
    for (const step of path) {
      if (Array.isArray(current) && typeof step === 'number') current = current[step];
      else if (isObject(current)) current = Object.hasOwn(current, step) ? current[step] : undefined;
      else throw invalid(path, 'leads through a value that is no object');
    }
    return current ?? undefined;
  }

  #add(path: Path, value: Json): void {
    const parent = this.#at(path.slice(0, -1));
    if (!isObject(parent)) throw invalid(path, 'is not a member of an object');
    this.#record({ op: 'add', path: pointer(path), value }, path);
  }

  #record(operation: PatchOperation, path: Path): void {
    this.#operations.push(operation);
    this.#document = changed(this.#document, path, operation) as JsonObject;
  }
}

/** A copy of the value with the operation carried out below it; what is not on the path is shared. */
function changed(value: Json, path: Path, operation: PatchOperation): Json {
  const [step, ...rest] = path;
  if (Array.isArray(value)) {
    const items: Json[] = [...value];
    const index = Number(step);
    if (rest.length > 0) items[index] = changed(items[index] ?? null, rest, operation);
    else if (operation.op === 'remove') items.splice(index, 1);
    else items.splice(index, operation.op === 'replace' ? 1 : 0, operation.value);
    return items;
  }
  const members: Record<string, Json> = { ...(isObject(value) ? value : {}) };
  const key = String(step);
  if (rest.length > 0) members[key] = changed(members[key] ?? null, rest, operation);
  else if (operation.op === 'remove') delete members[key];
  else members[key] = operation.value;
  return members;
}

function invalid(path: Path, what: string): AppError {
  return new AppError('input_invalid', `${pointer(path) || 'the document'} ${what}`);
}
