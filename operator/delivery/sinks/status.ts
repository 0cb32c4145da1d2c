// What a TLSPolicy says of the stores outside of the cluster to which its certificates go, as one condition. Pure.
import type { WantedCondition } from '../../../lib/api/conditions.ts';
import type { SinkOutcomes } from './outcomes.ts';
import type { SinkReason } from './sink.ts';

/** Problems named in the message; the rest is counted. */
const named = 3;

/** Reason of events and conditions for a failure. */
export function reasonWord(reason: SinkReason): string {
  return reason.startsWith('Sink') ? reason : `Sink${reason}`;
}

/** The condition `Published` of services (by name) of a namespace; undefined for a policy that names no sink. */
export function publishedCondition(
  sinks: readonly string[],
  { namespace, services }: { readonly namespace: string; readonly services: readonly string[] },
  outcomes: Pick<SinkOutcomes, 'get'>,
): Pick<WantedCondition, 'type' | 'status' | 'reason' | 'message'> | undefined {
  if (sinks.length === 0) return undefined;
  const type = 'Published';
  const all = services.flatMap((service) =>
    sinks.map((sink) => ({ service, sink, state: outcomes.get(`${namespace}/${service}`, sink) })),
  );
  const problems = all.flatMap(({ service, sink, state }) =>
    state?.kind === 'failing' ? [{ reason: state.reason, text: `${service}, sink "${sink}": ${state.message}` }] : [],
  );
  const [first] = problems;
  if (first !== undefined) {
    const more = problems.length > named ? [`and ${problems.length - named} more`] : [];
    const message = [...problems.slice(0, named).map(({ text }) => text), ...more].join('; ');
    return { type, status: 'False', reason: reasonWord(first.reason), message };
  }
  const open = all.filter(({ state }) => state === undefined).length;
  if (open > 0) {
    return {
      type,
      status: 'Unknown',
      reason: 'Publishing',
      message: `${open} of ${all.length} are still to be published`,
    };
  }
  const message =
    services.length === 0 ? 'there is no certificate to publish' : 'every sink holds the current certificates';
  return { type, status: 'True', reason: 'Published', message };
}
