// Where a gate stands in front of the application, and what for: on ports that speak HTTP, when the policy wants something of HTTP or
// authorization rules ask something of requests. Everywhere else bytes pass unread.
import type { EffectivePolicy } from '../../lib/api/control.ts';
import { readable } from '../../lib/api/readable.ts';
import type { Reason } from '../../lib/api/reasons.ts';
import type { Clock } from '../../lib/clock.ts';
import type { AccessLog, Place, Refusal, TunnelFacts } from '../accesslog.ts';
import type { RequestJudge } from '../authorize.ts';
import type { StatusReporter } from '../control/status.ts';
import { type HeaderPlan, headerPlan } from '../headers/plan.ts';
import { ChosenGate, type GateHalf } from '../http2/choose.ts';
import { Http2Gate } from '../http2/gate.ts';
import { judged as judgedStreams } from '../http2/judged.ts';
import { Authenticator } from '../jwt/authenticate.ts';
import type { Offenders } from '../offenders.ts';
import type { Half } from '../relay/half.ts';
import type { LiveFacts } from '../relay/live.ts';
import type { RequestsUnderWay } from '../relay/requests.ts';
import { portSettings } from '../rule.ts';
import type { TlsFacts } from '../tls/facts.ts';
import type { PeerFacts } from '../tls/peer.ts';
import { AnswerFields, RequestFields } from './edits.ts';
import { defaultHeadLimits, type HeadLimits } from './fields.ts';
import { Http1Gate } from './gate.ts';
import { type Authenticate, judged } from './judged.ts';

/** Longest time from the first octet of a head to its last (Envoy's advice for edges; slowloris). */
const HEAD_TIMEOUT_MS = 10_000;
/** Longest silence in the middle of a body (Envoy's default for streams). */
const BODY_TIMEOUT_MS = 300_000;

/** What the front needs. */
export interface HttpFrontDeps {
  readonly clock: Pick<Clock, 'now'>;
  policy(): EffectivePolicy | undefined;
  /** SPIFFE ID of this pod. */
  identity(): string;
  readonly log: Pick<AccessLog, 'refused' | 'request'>;
  /** Told of connections that are ended for floods. */
  readonly offenders?: Pick<Offenders, 'offended' | 'share'>;
  /** Told of issuers of tokens of which not all keys are known. */
  status?(): Pick<StatusReporter, 'keysWanted'>;
}

/** A connection that goes to the application. */
export interface ToApplication {
  readonly source: Place;
  readonly destination: Place;
  readonly transport: LiveFacts['transport'];
  readonly peer?: PeerFacts;
  readonly tls?: TlsFacts;
  readonly tunnel?: TunnelFacts;
}

/** What stands before the application. */
export interface Fronted {
  readonly half: Half;
  /** See LiveFacts; present where requests are read. */
  readonly recheck?: () => Reason | undefined;
  /** See LiveConnection; present where requests are read. */
  readonly requests?: RequestsUnderWay;
}

interface Edits {
  readonly plan: HeaderPlan;
  readonly answerFields: AnswerFields | undefined;
  readonly requestFields: RequestFields;
}

/** Puts gates where they belong. */
export class HttpFront {
  readonly #deps: HttpFrontDeps;
  readonly #authenticator: Authenticator;
  /**
   * Made once for each client that stands, and for those without a name by their transport; anew with each policy, so that a client who does not
   * come back keeps none of before.
   */
  #edits = new WeakMap<object, Edits>();
  #editsOf: EffectivePolicy | undefined;
  readonly #nameless = { anonymous: {}, plaintext: {} };

  constructor(deps: HttpFrontDeps) {
    this.#deps = deps;
    const current = () => deps.policy()?.authentication;
    const keysWanted = (issuer: string): void => deps.status?.().keysWanted(issuer);
    this.#authenticator = new Authenticator({ clock: deps.clock, current, keysWanted });
  }

  /** Whether requests to a port can be read: its protocol says what they look like. */
  reads(port: number): boolean {
    const policy = this.#deps.policy();
    return policy !== undefined && readable.has(portSettings(policy, port).protocol);
  }

  /** The application's half, or a gate around it. `requests`: by whom they are judged, on ports that can be read. */
  before(application: Half, to: ToApplication, requests?: RequestJudge): Fronted {
    const policy = this.#deps.policy();
    if (policy === undefined || requests === undefined) return { half: application };
    const { source, destination, peer } = to;
    const wanted = requests.needed || this.#authenticator.looksAt(destination.port) || wantsHttp(policy, to.transport);
    if (!wanted) return { half: application };
    const { log } = this.#deps;
    const { answerFields, requestFields, plan } = this.#editsFor(policy, to);
    const authenticate: Authenticate = (fields) => this.#authenticator.authenticate(destination.port, fields);
    const refused = ({ reason, detail }: Pick<Refusal, 'reason' | 'detail'>): void =>
      log.refused({
        direction: 'inbound',
        reason,
        ...(detail === undefined ? {} : { detail }),
        source,
        destination,
        peer,
      });
    const limits = limitsOf(policy);
    const lapsed = (): void => refused({ reason: 'token_invalid', detail: 'expired' });
    const http1 = (inner: Half): GateHalf => {
      const judge = judged(requests, authenticate, refused, lapsed);
      const gate = new Http1Gate(inner, {
        limits,
        headTimeoutMs: HEAD_TIMEOUT_MS,
        bodyTimeoutMs: BODY_TIMEOUT_MS,
        now: () => this.#deps.clock.now(),
        answerFields,
        requestFields,
        deny: judge.deny,
        stripped: judge.stripped,
        lapsed: judge.lapsed,
        over: (exchange) => {
          judge.over(exchange);
          log.request({ ...to, exchange });
        },
        broken: ({ side, rule }) => refused({ reason: 'malformed', detail: `${side}: ${rule}` }),
      });
      return { half: gate, recheck: () => judge.recheck(), requests: gate };
    };
    const http2 = (inner: Half): GateHalf => {
      const gate = new Http2Gate(inner, {
        limits,
        headTimeoutMs: HEAD_TIMEOUT_MS,
        plan,
        // Another stream of a tunnel costs no handshake.
        floodShare: to.tunnel === undefined ? (this.#deps.offenders?.share(source.address) ?? 1) : 1,
        judge: judgedStreams(requests, authenticate, refused),
        lapsed,
        over: (exchange) => log.request({ ...to, exchange }),
        broken: ({ side, rule, reason }) => {
          refused({ reason, detail: `${side}: ${rule}` });
          const comesBack = side === 'request' && reason === 'overload' && to.tunnel === undefined;
          if (comesBack) this.#deps.offenders?.offended(source.address, rule);
        },
      });
      return { half: gate, recheck: () => gate.recheck(), requests: gate };
    };
    // gRPC is nothing but HTTP/2; on other ports clients speak what they like.
    if (portSettings(policy, destination.port).protocol === 'GRPC') return http2(application);
    const half = new ChosenGate(application, { http1, http2 }, HEAD_TIMEOUT_MS);
    return { half, recheck: () => half.recheck(), requests: half };
  }

  #editsFor(policy: EffectivePolicy, { transport, peer }: ToApplication): Edits {
    const key = peer ?? this.#nameless[transport === 'anonymous' ? 'anonymous' : 'plaintext'];
    if (this.#editsOf !== policy) this.#edits = new WeakMap();
    this.#editsOf = policy;
    const known = this.#edits.get(key);
    if (known !== undefined) return known;
    const plan = headerPlan(policy, { transport, peer, identity: this.#deps.identity() });
    const answerFields = plan.answers.length === 0 ? undefined : new AnswerFields(plan.answers);
    const edits = { plan, answerFields, requestFields: new RequestFields(plan) };
    this.#edits.set(key, edits);
    return edits;
  }
}

function limitsOf({ underscoresInHeaders }: EffectivePolicy): HeadLimits {
  return underscoresInHeaders === 'Pass' ? underscoresPass : defaultHeadLimits;
}

const underscoresPass: HeadLimits = { ...defaultHeadLimits, refuseUnderscores: 'disguised' };

/** What goes into answers over TLS is no reason to read plaintext. */
function wantsHttp(policy: EffectivePolicy, transport: LiveFacts['transport']): boolean {
  if (transport === 'untouched') return false;
  if (policy.accessLog === 'All' || policy.clientCertificate !== undefined) return true;
  return transport !== 'plaintext' && (policy.http !== undefined || policy.securityHeaders !== undefined);
}
