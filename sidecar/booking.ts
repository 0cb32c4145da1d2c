// What the authorizer finds goes to the log, the metrics and the operator.
import type { ConditionLanguage } from '../lib/api/condition.ts';
import type { Clock } from '../lib/clock.ts';
import type { AccessLog } from './accesslog.ts';
import { Authorizer, type AuthorizerDeps } from './authorize.ts';
import type { StatusReporter } from './control/status.ts';
import type { SidecarMetrics } from './metrics.ts';

/** Who is told, and what it is asked with. */
export interface Books {
  readonly self: () => ReturnType<AuthorizerDeps['self']>;
  readonly clock: Clock;
  readonly language: () => ConditionLanguage | undefined;
  readonly log: Pick<AccessLog, 'audited'>;
  /** Asked for at each hit: they are made later than the authorizer. */
  readonly metrics: () => Pick<SidecarMetrics, 'rule' | 'conditionFailed'>;
  readonly status: () => Pick<StatusReporter, 'rule' | 'caller' | 'request'>;
}

/** An authorizer that books. */
export function bookedAuthorizer({ clock, self, language, log, metrics, status }: Books): Authorizer {
  return new Authorizer({
    self,
    language,
    now: () => clock.now(),
    onHit: (hit) => {
      metrics().rule(hit.name, hit.outcome);
      status().rule(hit);
    },
    onCaller: ({ identity = '', port }) => status().caller({ identity, port }),
    onRequest: (call, request) => status().request(call, request),
    onAudit: (call, decision, request) => log.audited(call, decision, request),
    onFailure: (rule) => metrics().conditionFailed(rule),
  });
}
