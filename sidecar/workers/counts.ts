// What workers have counted for the next report to the control API. Pure but for what it holds.
import type { StatusReport } from '../../lib/api/control.ts';
import type { Applied } from '../control/status.ts';

/** Counts of a report. */
export type Counts = Pick<StatusReport, 'plaintext' | 'rules' | 'callers' | 'requests' | 'keysWanted'>;

/** Nothing. */
export const noCounts: Counts = { plaintext: [] };

/** Different entries in one list (the control API takes 256); more are not told apart. */
const MOST_ENTRIES = 250;
/** Requests in one report: they are longer than other entries, and what is left out comes again. */
const MOST_REQUESTS = 96;
/** Issuers of tokens in one report: as many as a policy may list. */
const MOST_ISSUERS = 8;

/** The counts of two reports as those of one; what counts the same is added up. */
export function addCounts(one: Counts, other: Counts): Counts {
  const rules = added(one.rules ?? [], other.rules ?? []);
  const callers = added(one.callers ?? [], other.callers ?? []);
  const requests = added(one.requests ?? [], other.requests ?? [], MOST_REQUESTS);
  const keysWanted = [...new Set([...(one.keysWanted ?? []), ...(other.keysWanted ?? [])])].slice(0, MOST_ISSUERS);
  return {
    plaintext: added(one.plaintext, other.plaintext),
    ...(rules.length === 0 ? {} : { rules }),
    ...(callers.length === 0 ? {} : { callers }),
    ...(requests.length === 0 ? {} : { requests }),
    ...(keysWanted.length === 0 ? {} : { keysWanted }),
  };
}

function added<T extends { readonly count: number }>(
  one: readonly T[],
  other: readonly T[],
  most: number = MOST_ENTRIES,
): readonly T[] {
  const sum = new Map<string, T>();
  for (const entry of [...one, ...other]) {
    // All come from the same code, with their members in the same order.
    const key = JSON.stringify({ ...entry, count: 0 });
    const known = sum.get(key);
    if (known === undefined && sum.size >= most) continue;
    sum.set(key, { ...entry, count: entry.count + (known?.count ?? 0) });
  }
  return [...sum.values()];
}

/** Whether anything was counted. */
export function hasCounts(counts: Counts): boolean {
  return Object.values(counts).some((each) => each.length > 0);
}

/** What a worker applies, as a text: equal texts, equal states; empty = nothing yet. */
export function stateOf(applied: Applied | undefined): string {
  return applied === undefined ? '' : JSON.stringify(applied);
}

/** A report in its two parts. */
export function partsOf(report: StatusReport): { readonly applied: Applied; readonly counts: Counts } {
  const { plaintext, rules, callers, requests, keysWanted, authentication: _, ...applied } = report;
  const counts = {
    plaintext,
    ...(rules === undefined ? {} : { rules }),
    ...(callers === undefined ? {} : { callers }),
    ...(requests === undefined ? {} : { requests }),
    ...(keysWanted === undefined ? {} : { keysWanted }),
  };
  return { applied, counts };
}
