// Parts of the application behind the back ends of the tests, told apart by path in the way of each back end: one that rules deny, one that they
// allow, and everything else. Each has a path with a colon in it, which some servers read from `%3A`, too, and some do not.

/** What begins so, and a path as it is. */
export const areas = {
  admin: { prefix: '/admin', exact: '/job:run' },
  open: { prefix: '/open', exact: '/see:all' },
} as const;

/** Name of an area; `other` = neither. */
export type Area = keyof typeof areas | 'other';

/** Where a path lies, for a reader who takes it as it is. */
export function areaOf(path: string): Area {
  for (const name of ['admin', 'open'] as const)
    if (path.startsWith(areas[name].prefix) || path === areas[name].exact) return name;
  return 'other';
}
