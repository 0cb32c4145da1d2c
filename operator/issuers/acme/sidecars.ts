// Solvers http-01 (RFC 8555 section 8.3) and tls-alpn-01 (RFC 8737): the sidecars of the service itself answer, at the port that
// the CA reaches by the service's own name. Nothing else has to be deployed, and no route has to be changed.
import type { AcmeChallenge } from '../../../lib/api/control.ts';
import type { Clock } from '../../../lib/clock.ts';
import { alpnCertificate } from './alpn.ts';
import type { ChallengeDesk, ServiceName } from './desk.ts';
import type { ProofRequest, Solver } from './solvers.ts';

/** What the solver works with. */
export interface SidecarSolverDeps {
  readonly desk: ChallengeDesk;
  readonly clock: Pick<Clock, 'now'>;
  readonly service: ServiceName;
  readonly type: AcmeChallenge['type'];
}

/** One service. */
export class SidecarSolver implements Solver {
  readonly #deps: SidecarSolverDeps;

  constructor(deps: SidecarSolverDeps) {
    this.#deps = deps;
  }

  async present(requests: readonly ProofRequest[], signal: AbortSignal): Promise<void> {
    const { desk, service } = this.#deps;
    await desk.present(
      service,
      requests.map((request) => this.#challenge(request)),
      signal,
    );
  }

  async withdraw(requests: readonly ProofRequest[], signal: AbortSignal): Promise<void> {
    const { desk, service } = this.#deps;
    await desk.withdraw(
      service,
      requests.map(({ token }) => token),
      signal,
    );
  }

  #challenge({ domain, token, keyAuthorization }: ProofRequest): AcmeChallenge {
    const { type, clock } = this.#deps;
    if (type === 'http-01') return { type, token, keyAuthorization };
    return { type, token, domain, ...alpnCertificate(domain, keyAuthorization, clock.now()) };
  }
}
