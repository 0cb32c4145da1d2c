// CAs that have left the bundle in good order, at the end of a rotation: nobody is accepted by them any more, but connections that
// were made before may end in their own time instead of being cut. A CA that was distrusted is never among them. Pure.
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';

/** SHA-256 of their roots, sorted. They are told as long as a sidecar may still have to take them out of its bundle. */
export function retiredRoots(issuers: Iterable<TLSIssuer>): readonly string[] {
  const found = new Set<string>();
  for (const { status } of issuers) {
    if (status?.rotation?.phase !== 'Retiring') continue;
    for (const { role, fingerprint } of status.authorities ?? []) if (role === 'Retiring') found.add(fingerprint);
  }
  return [...found].sort();
}
