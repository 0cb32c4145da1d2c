// Ports on which sidecars read requests, where a policy asks for something of them: what is spoken there must be said, it is never guessed. Pure.
import type { RuleMatch } from './authorization.ts';
import type { Protocol } from './tlspolicy.ts';

/** Protocols whose requests are read. */
export const readable: ReadonlySet<Protocol> = new Set<Protocol>(['HTTP', 'HTTP2', 'GRPC']);

/** Whether a rule asks something of requests. Where none is read, it allows nothing if it is an Allow rule, and else denies whatever is asked. */
export function asksRequests({ to, when }: Pick<RuleMatch, 'to' | 'when'>): boolean {
  const asks = to?.some(
    ({ methods, paths, hosts }) => methods !== undefined || paths !== undefined || hosts !== undefined,
  );
  return when !== undefined || asks === true;
}
