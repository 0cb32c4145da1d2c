// What people are told about certificates by Kubernetes Events: on the policy that asks for the certificate, and what keeps
// pods from starting also on their workload, where one looks first.
import { certificateSecretName } from '../../lib/api/contract.ts';
import { type EventFacts, type EventRecorder, type EventSubject, subjectOf } from '../../lib/kube/events.ts';
import type { SignedLeaf } from '../issuers/issuer.ts';
import type { Gathered } from './gather.ts';
import type { IssueReason } from './needs.ts';
import type { Plan } from './plan.ts';
import type { Failure } from './snapshot.ts';

/** Failures in a row after which a person should look: the first ones are often over by themselves. */
const worthSaying = 3;

/** Records Events. */
export class Notices {
  readonly #events: Pick<EventRecorder, 'record'>;

  constructor(events: Pick<EventRecorder, 'record'>) {
    this.#events = events;
  }

  /** A certificate was issued. */
  issued(gathered: Gathered, why: IssueReason, { serial, notAfter }: SignedLeaf): void {
    const note = `certificate of service ${nameOf(gathered)} issued (${why}): serial ${serial}, valid until ${notAfter.toISOString()}`;
    const [subject] = subjectsOf(gathered);
    if (subject !== undefined) {
      this.#events.record(subject, { type: 'Normal', reason: 'Issued', action: 'IssueCertificate', note });
    }
  }

  /** Something stands in the way. */
  blocked(gathered: Gathered, { reason, message }: NonNullable<Plan['blocked']>): void {
    const note = `certificate of service ${nameOf(gathered)}: ${message}`;
    this.#warn(gathered, { type: 'Warning', reason, action: 'IssueCertificate', note });
  }

  /** A try failed. */
  failed(gathered: Gathered, { count, message }: Failure): void {
    if (count !== worthSaying) return;
    const secret = certificateSecretName(nameOf(gathered));
    const note = `Secret "${secret}" could not be written ${count} times in a row: ${message}`;
    this.#warn(gathered, { type: 'Warning', reason: 'IssuanceFailed', action: 'IssueCertificate', note });
  }

  #warn(gathered: Gathered, facts: EventFacts): void {
    for (const subject of subjectsOf(gathered)) this.#events.record(subject, facts);
  }
}

/** The policy, then the workloads. */
function subjectsOf({ policy, snapshot }: Gathered): readonly EventSubject[] {
  const [namespace = ''] = snapshot.key.split('/');
  const owners = (snapshot.wanted?.owners ?? []).map(({ apiVersion, kind, name, uid }) => ({
    apiVersion,
    kind,
    name,
    namespace,
    uid,
  }));
  return [...(policy === undefined ? [] : [subjectOf(policy)]), ...owners];
}

function nameOf({ snapshot }: Gathered): string {
  return snapshot.key.split('/')[1] ?? '';
}
