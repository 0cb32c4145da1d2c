// Whether a rule takes in all that another one does, as far as that can be read off the rules themselves. It never says yes of a rule that lets
// something through; it may say no of one that does not. Pure.
import type { CallerMatch, RuleMatch, TargetMatch } from '../api/authorization.ts';
import { inBlock, parseBlock } from '../api/ipblock.ts';
import { whole } from './targets.ts';

/** Whether every call that `narrow` matches is one that `wide` matches, too, whatever their conditions say. */
export function covers(wide: RuleMatch, narrow: RuleMatch): boolean {
  return (
    wide.when === undefined &&
    coversEach(wide.from, narrow.from, coversCaller) &&
    coversEach(wide.to, narrow.to, coversTarget)
  );
}

/** Absent = anything. */
function coversEach<T>(
  wide: readonly T[] | undefined,
  narrow: readonly T[] | undefined,
  one: (wide: T, narrow: T) => boolean,
): boolean {
  if (wide === undefined) return true;
  return narrow?.every((each) => wide.some((other) => one(other, each))) ?? false;
}

function coversCaller(wide: CallerMatch, narrow: CallerMatch): boolean {
  return (
    coversList(wide.services, narrow.services) &&
    coversList(wide.namespaces, narrow.namespaces) &&
    coversList(wide.holders, narrow.holders) &&
    coversList(wide.identities, narrow.identities) &&
    coversList(wide.ipBlocks, narrow.ipBlocks, isWithin)
  );
}

function coversTarget(wide: TargetMatch, narrow: TargetMatch): boolean {
  return (
    coversList(wide.ports, narrow.ports) &&
    coversList(wide.methods, narrow.methods) &&
    coversList(wide.paths, narrow.paths, isBelow) &&
    coversList(wide.hosts, narrow.hosts, isUnder)
  );
}

function coversList<T>(
  wide: readonly T[] | undefined,
  narrow: readonly T[] | undefined,
  within: (inner: T, outer: T) => boolean = Object.is,
): boolean {
  const list = whole(wide);
  if (list === undefined) return true;
  return whole(narrow)?.every((inner) => list.some((outer) => within(inner, outer))) ?? false;
}

function isWithin(inner: string, outer: string): boolean {
  const [one, other] = [parseBlock(inner), parseBlock(outer)];
  return one !== undefined && other !== undefined && one.bits >= other.bits && inBlock(other, one.words);
}

/** Of paths, where a final `/*` stands for all that begin so. */
function isBelow(inner: string, outer: string): boolean {
  return inner === outer || (outer.endsWith('/*') && inner.startsWith(outer.slice(0, -1)));
}

/** Of hosts, where `*.` stands for all names that end so. */
function isUnder(inner: string, outer: string): boolean {
  return inner === outer || (outer.startsWith('*.') && inner.endsWith(outer.slice(1)));
}
