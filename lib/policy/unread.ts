// Where rules ask something of requests that nobody reads: ports that are not said to speak HTTP. There an Allow rule allows nothing by such
// a part and a Deny rule denies everything, which its author should hear of. Pure.
import type { RuleMatch } from '../api/authorization.ts';
import type { EffectivePolicy } from '../api/control.ts';
import { asksRequests, readable } from '../api/readable.ts';

/** Ports on which rules come to something else than they say. */
export interface UnreadPorts {
  /** An Allow rule about requests is meant for them, and allows nothing there. */
  readonly idle: readonly number[];
  /** A Deny rule about requests denies everything there. */
  readonly closed: readonly number[];
}

/** `declared`: the container ports of the pods. An Allow rule is meant for the ports that it names; without any, for those that are read, if any is. */
export function unreadPorts(
  rules: readonly RuleMatch[],
  { ports }: Pick<EffectivePolicy, 'ports'>,
  declared: readonly number[],
): UnreadPorts {
  const protocols = new Map(ports.map(({ port, protocol }) => [port, protocol]));
  const isRead = (port: number): boolean => readable.has(protocols.get(port) ?? 'TCP');
  const asking = rules.filter(asksRequests).map((rule) => ({ ...rule, named: namedBy(rule) }));
  const named = asking.flatMap((rule) => rule.named ?? []);
  const all = [...new Set([...declared, ...protocols.keys(), ...named])].sort((a, b) => a - b);
  const unread = all.filter((port) => !isRead(port));
  const anyRead = all.some(isRead);
  const concerned = (effect: RuleMatch['effect'], port: number): boolean =>
    asking.some((rule) => {
      if (rule.effect !== effect) return false;
      return rule.named?.includes(port) ?? (effect === 'Deny' || !anyRead);
    });
  return {
    idle: unread.filter((port) => concerned('Allow', port)),
    closed: unread.filter((port) => concerned('Deny', port)),
  };
}

/** Ports of the parts that ask for requests; undefined = one of them is for every port. */
function namedBy({ to, when }: RuleMatch): readonly number[] | undefined {
  const asking = when === undefined ? to?.filter((target) => asksRequests({ to: [target] })) : to;
  if (asking === undefined || asking.some(({ ports }) => ports === undefined)) return undefined;
  return asking.flatMap(({ ports }) => ports ?? []);
}
