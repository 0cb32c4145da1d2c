// Where a gate stands in front of the application, and what for: on ports that speak HTTP, for connections over TLS, when the policy wants
// something of HTTP. Everywhere else bytes pass unread.
import type { EffectivePolicy } from '../../lib/api/control.ts';
import type { AccessLog, Place } from '../accesslog.ts';
import type { Half } from '../relay/half.ts';
import type { LiveFacts } from '../relay/live.ts';
import { portSettings } from '../rule.ts';
import type { PeerFacts } from '../tls/peer.ts';
import { defaultHeadLimits } from './fields.ts';
import { Http1Gate } from './gate.ts';

/** Longest time from the first octet of a head to its last (Envoy's advice for edges; slowloris). */
const HEAD_TIMEOUT_MS = 10_000;

/** What the front needs. */
export interface HttpFrontDeps {
  policy(): EffectivePolicy | undefined;
  readonly log: Pick<AccessLog, 'refused' | 'request'>;
}

/** A connection that goes to the application. */
export interface ToApplication {
  readonly source: Place;
  readonly destination: Place;
  readonly transport: LiveFacts['transport'];
  readonly peer?: PeerFacts;
}

/** Puts gates where they belong. */
export class HttpFront {
  readonly #deps: HttpFrontDeps;
  #fields: { readonly hsts: string; readonly octets: Buffer } | undefined;

  constructor(deps: HttpFrontDeps) {
    this.#deps = deps;
  }

  /** The application's half, or a gate around it. */
  before(application: Half, to: ToApplication): Half {
    const policy = this.#deps.policy();
    if (policy?.http === undefined || portSettings(policy, to.destination.port).protocol !== 'HTTP') return application;
    // RFC 6797 section 7.2: never over a connection that is not secure.
    if (to.transport !== 'mutual' && to.transport !== 'anonymous') return application;
    const { log } = this.#deps;
    const { source, destination, peer } = to;
    return new Http1Gate(application, {
      limits: defaultHeadLimits,
      headTimeoutMs: HEAD_TIMEOUT_MS,
      answerFields: this.#hstsField(policy.http.hsts),
      over: (exchange) => log.request({ source, destination, exchange, ...(peer === undefined ? {} : { peer }) }),
      broken: ({ side, rule }) =>
        log.refused({ direction: 'inbound', reason: 'malformed', detail: `${side}: ${rule}`, source, destination }),
    });
  }

  #hstsField(hsts: string): Buffer {
    if (this.#fields?.hsts !== hsts) {
      this.#fields = { hsts, octets: Buffer.from(`Strict-Transport-Security: ${hsts}\r\n`, 'latin1') };
    }
    return this.#fields.octets;
  }
}
