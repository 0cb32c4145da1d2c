// The data path of one pod, put together from parts that are given: certificates, the reader of original destinations, clock, log and
// metrics. app.ts gives the real ones, tests their own.
import { controlPaths, type EffectivePolicy, type SelfSnapshot } from '../lib/api/control.ts';
import type { Reason } from '../lib/api/reasons.ts';
import type { Clock } from '../lib/clock.ts';
import type { CertificateSource } from '../lib/runtime/credentials.ts';
import type { Stage } from '../lib/runtime/lifecycle.ts';
import type { Logger } from '../lib/runtime/logger.ts';
import type { Metrics } from '../lib/runtime/metrics.ts';
import { AccessLog } from './accesslog.ts';
import { ChallengeAnswers } from './acme/answer.ts';
import type { Authorizer } from './authorize.ts';
import { bookedAuthorizer } from './booking.ts';
import { Conditions } from './conditions.ts';
import type { SidecarConfig } from './config.ts';
import { appliedState } from './control/applied.ts';
import { ControlClient, type ControlPort } from './control/client.ts';
import { dialControl } from './control/dial.ts';
import { parseSelf } from './control/parse.ts';
import { firstLimits, SelfState } from './control/self.ts';
import { type Applied, StatusReporter } from './control/status.ts';
import { type Kept, SnapshotStore } from './control/store.ts';
import { Conveyor } from './convey.ts';
import { Delivery } from './deliver.ts';
import { Connector } from './destination/connect.ts';
import { Discovery } from './destination/discovery.ts';
import { rangeTest } from './destination/key.ts';
import type { OriginalDestinationReader } from './destination/original.ts';
import { drain } from './drain.ts';
import type { EdgeSource } from './edge/files.ts';
import { EdgeFront } from './edge/front.ts';
import { HttpFront } from './http1/front.ts';
import { Inbound } from './inbound.ts';
import { halfDoor, type Near, type NearHalf, type NearSocket, socketDoor } from './incoming.ts';
import { CaptureListener, type ListenerOptions } from './listener.ts';
import { type SidecarMetrics, sidecarMetrics } from './metrics.ts';
import { bookedOffenders, type Offenders } from './offenders.ts';
import { Outbound } from './outbound.ts';
import type { OpenHalf } from './relay/half.ts';
import { join } from './relay/join.ts';
import { LiveConnections, type LiveFacts } from './relay/live.ts';
import { enforceRevocations, revocationBreach } from './revocation/enforce.ts';
import { parseRevocations } from './revocation/parse.ts';
import { type RevocationChange, Revocations } from './revocation/revocations.ts';
import { inboundRule, ruleBreach } from './rule.ts';
import { CredentialKeeper } from './tls/credentials.ts';
import type { Generation } from './tls/generation.ts';
import { Tunnels } from './tunnels.ts';
import { aborted } from './wait.ts';
import type { OwnControl, Seat, StorePort } from './workers/seat.ts';

/** What the data path is made of. */
export interface CoreDeps {
  readonly config: SidecarConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly source: CertificateSource;
  readonly original: OriginalDestinationReader;
  /**
   * Whether a port that a peer names in a tunnel is the one that its connection was captured for. They are the same number wherever
   * connections are captured; only a test that captures nothing dials another.
   */
  readonly isSamePort?: (named: number, captured: number) => boolean;
  /** Makes halves of sockets: which of the two relays carries the bytes. */
  readonly openHalf: OpenHalf;
  /** The edge certificate; without it the pod has none. */
  readonly edge?: EdgeSource;
  /** Among several workers; absent = it is alone. */
  readonly seat?: Seat;
}

/** REDIRECT leads what the pod sends to the loopback address, so nobody else can reach this listener. */
const outboundHosts = ['127.0.0.1', '::1'];
const inboundHosts = ['any'];

/** One running data path. */
export class Core {
  readonly live: LiveConnections;
  readonly inbound: CaptureListener<NearSocket>;
  readonly outbound: CaptureListener<NearHalf>;
  readonly #deps: CoreDeps;
  readonly #self = new SelfState();
  readonly #revocations: Revocations;
  readonly #keeper: CredentialKeeper;
  readonly #control: ControlPort;
  readonly #discovery: Discovery;
  /** Reports what this proxy applies and sees. */
  readonly status: StatusReporter;
  readonly #store: StorePort;
  readonly #conveyor: Conveyor;
  readonly #metrics: SidecarMetrics;
  readonly #challenges: ChallengeAnswers;
  readonly #log: AccessLog;
  readonly #conditions: Conditions;
  readonly #authorizer: Authorizer;
  readonly #tunnels: Tunnels;
  readonly #delivery: Delivery;
  readonly #offenders: Offenders;
  #inCluster: (address: string) => boolean = () => true;

  constructor(deps: CoreDeps) {
    this.#deps = deps;
    const { clock, logger, source, config, seat } = deps;
    const policy = () => this.#self.current()?.policy;
    this.#log = new AccessLog({ clock, logger, format: config.logFormat, policy, metrics: () => this.#metrics });
    this.#conditions = new Conditions(logger);
    this.#authorizer = bookedAuthorizer({
      clock,
      log: this.#log,
      self: () => this.#self.current(),
      language: this.#conditions.language,
      metrics: () => this.#metrics,
      status: () => this.status,
    });
    const breach = (facts: LiveFacts) => revocationBreach(facts, this.#enforcing()) ?? this.#authorizer.breach(facts);
    this.live = new LiveConnections(clock, breach);
    this.#revocations = new Revocations({
      clock,
      awayMs: () => this.#control.awayMs(),
      settings: () => this.#self.current()?.policy.revocation,
    });
    this.#metrics = this.#declareMetrics();
    this.#keeper = new CredentialKeeper({
      source,
      logger,
      revocations: this.#revocations,
      onRejected: () => this.#metrics.credentialsRejected(),
    });
    const pushedBundle = () => this.#self.current()?.trustBundle;
    const dial = () => dialControl({ peer: config.control, source, clock, pushedBundle });
    const control: OwnControl = (onConnection) => new ControlClient({ clock, logger, dial, onConnection });
    this.#control = seat?.control(control) ?? control();
    const collect = () => this.kept();
    const store = () => new SnapshotStore({ folder: config.stateFolder, clock, logger, collect });
    this.#store = seat?.store(store) ?? store();
    this.status = new StatusReporter({
      clock,
      post: (path, body) => this.#control.post(path, body),
      applied: () => this.applied(),
      settleMs: seat?.settleMs,
    });
    this.#discovery = new Discovery({
      clock,
      control: this.#control,
      inCluster: (address) => this.#inCluster(address),
      onChange: () => this.#store.touch(),
    });
    this.#conveyor = this.#makeConveyor();
    const { openHalf } = deps;
    const identity = () => this.#self.current()?.identity ?? '';
    const offenders = (this.#offenders = bookedOffenders({ clock, logger, metrics: () => this.#metrics }));
    const http = new HttpFront({ clock, policy, identity, offenders, log: this.#log, status: () => this.status });
    this.#delivery = new Delivery({ conveyor: this.#conveyor, openHalf, authorizer: this.#authorizer, http });
    this.#tunnels = this.#makeTunnels();
    this.#challenges = new ChallengeAnswers({ challenges: () => this.#self.current()?.challenges ?? [], logger });
    this.inbound = this.#makeInbound();
    this.outbound = this.#makeOutbound();
    this.#connect();
  }

  /** What is missing until this pod may be trusted to receive; empty when nothing is. */
  notReady(): readonly string[] {
    const missing: string[] = [];
    const generation = this.#keeper.current();
    if (this.#deps.source.current() === undefined) missing.push('certificate');
    if (this.#self.current() === undefined) missing.push('policy');
    else if (this.#awaitsRevocations()) missing.push('revocations');
    if (missing.length === 0 && generation === undefined) missing.push('tls');
    if (generation?.expired(this.#deps.clock.now()) === true) missing.push('own_certificate_expired');
    return missing;
  }

  /** Takes over what an earlier container of this pod kept, and starts to listen. */
  async start(): Promise<void> {
    await this.restore();
    await this.listen();
  }

  /** Takes over what was kept. */
  async restore(): Promise<void> {
    const kept = await this.#store.load();
    if (kept !== undefined) {
      if (kept.revocations !== undefined) this.#revocations.restore(kept.revocations);
      await this.#conditions.ready(kept.self);
      this.#self.update(kept.self);
      this.#discovery.restore(kept.destinations);
      this.#deps.logger.info({ destinations: kept.destinations.length }, 'kept snapshots are in use');
    }
  }

  /** Starts to listen. */
  async listen(): Promise<void> {
    await Promise.all([this.inbound.listen(), this.outbound.listen()]);
  }

  /** Runs until the stages stop: connections are drained with the first, the rest goes with the second. */
  run(traffic: Stage, background: Stage): void {
    traffic.run('connections', async (signal) => {
      await aborted(signal);
      const { clock, logger, config } = this.#deps;
      const listeners = [this.inbound, this.outbound];
      this.#tunnels.drain();
      await drain({ clock, logger, listeners, live: this.live, drainMs: config.drainMs });
      await this.#tunnels.close();
    });
    background.run('access log', (signal) => this.#log.run(signal));
    background.run('live connections', (signal) => this.live.run(signal));
    background.run('tunnels', (signal) => this.#tunnels.run(signal));
    background.run('control API', (signal) => this.#control.run(signal));
    background.run('destinations', (signal) => this.#discovery.run(signal));
    background.run('snapshots on disk', (signal) => this.#store.run(signal));
    background.run('status', (signal) => this.status.run(signal));
    background.run('revocations', (signal) => this.#revocations.run(signal, () => this.#store.touch()));
  }

  #connect(): void {
    // Asked for first, so that they are known before the policy lets anybody in.
    this.#control.subscribe(controlPaths.revocations, (message) => this.#revocations.offer(parseRevocations(message)));
    this.#revocations.subscribe((change) => this.#applyRevocations(change));
    this.#control.subscribe(controlPaths.self, (message) => {
      this.#conditions.pass(parseSelf(message), (self) => this.#self.update(self));
    });
    this.#self.subscribe((self) => this.#applySelf(self));
    this.#keeper.subscribe((next, last) => this.#applyGeneration(next, last));
    // Also before the policy is known: the control API has to see the new certificate.
    this.#deps.source.subscribe(() => this.#control.reconnect());
  }

  #applySelf(self: SelfSnapshot): void {
    const { trustBundle, retired = [], federated = [], trustDomain, policy, clusterRanges, version } = self;
    this.#inCluster = clusterRanges.length === 0 ? () => true : rangeTest(clusterRanges);
    this.#keeper.configure({ trustBundle, retired, federated, trustDomain, tls: policy.tls });
    this.#tunnels.policyChanged();
    const cut = this.#enforce((facts) => {
      if (facts.direction !== 'inbound') return undefined;
      return ruleBreach(inboundRule(policy, facts.port), facts.transport) ?? this.#authorizer.breach(facts);
    });
    this.#deps.logger.info({ version, policy: policy.source, mode: policy.mode, cut }, 'policy in use');
    this.#store.touch();
    // The operator waits for the word that challenges are answered, and the CA for the operator.
    if (this.#challenges.tokens().length > 0) this.status.touchNow();
    else this.status.touch();
  }

  #applyRevocations(change: RevocationChange): void {
    enforceRevocations(change, {
      ...this.#enforcing(),
      logger: this.#deps.logger,
      live: { enforce: (judge) => this.#enforce(judge) },
      generation: () => this.#keeper.current(),
    });
    this.status.touchNow();
    this.#store.touch();
  }

  /** Streams first: each is told its reason, before its tunnel goes. */
  #enforce(judge: (facts: LiveFacts) => Reason | undefined): number {
    const cut = this.live.enforce(judge);
    this.#tunnels.enforce(judge);
    return cut;
  }

  #enforcing() {
    return { revocations: this.#revocations, identity: () => this.#self.current()?.identity ?? '' };
  }

  /** An operator that serves revocations says so in the policy; one of an earlier version has none to wait for. */
  #awaitsRevocations(): boolean {
    return this.#self.current()?.policy.revocation !== undefined && this.#revocations.number === undefined;
  }

  #applyGeneration(next: Generation, last: Generation | undefined): void {
    if (last !== undefined) {
      const lost = next.inherit(last, this.#deps.clock.now());
      if (lost.size > 0)
        this.#enforce(({ peerFingerprint = '' }) => (lost.has(peerFingerprint) ? 'unknown_ca' : undefined));
      this.#tunnels.renewed();
    }
    this.status.touch();
  }

  /** What a worker that starts has to know at once; undefined while there is no policy. */
  kept(): Kept | undefined {
    const self = this.#self.current();
    const revocations = this.#revocations.kept();
    if (self === undefined) return undefined;
    const own = { self, destinations: this.#discovery.kept(), ...(revocations === undefined ? {} : { revocations }) };
    return this.#deps.seat?.kept(own) ?? own;
  }

  /** The state in force, as it is reported; undefined while there is none. */
  applied(): Applied | undefined {
    return appliedState({
      config: this.#deps.config,
      self: this.#self.current(),
      generation: this.#keeper.current(),
      revocations: this.#revocations.number,
      challenges: this.#challenges.tokens(),
    });
  }

  #limits(): EffectivePolicy['connections'] {
    const limits = this.#self.current()?.policy.connections ?? firstLimits;
    return this.#deps.seat?.share(limits) ?? limits;
  }

  #declareMetrics(): SidecarMetrics {
    return sidecarMetrics(this.#deps.metrics, {
      active: (direction) => this.live.count(direction),
      tunnels: (direction) => this.#tunnels.count(direction),
      certificate: () => this.#keeper.current(),
      controlConnected: () => this.#control.awayMs() === 0,
      revocations: () => this.#revocations.figures(),
    });
  }

  #makeConveyor(): Conveyor {
    const { clock } = this.#deps;
    return new Conveyor({
      clock,
      live: this.live,
      log: this.#log,
      metrics: this.#metrics,
      relay: join,
      limits: () => this.#limits(),
    });
  }

  #makeTunnels(): Tunnels {
    const { clock, logger, openHalf } = this.#deps;
    return new Tunnels({
      clock,
      logger,
      openHalf,
      conveyor: this.#conveyor,
      delivery: this.#delivery,
      live: this.live,
      generation: () => this.#keeper.current(),
      policy: () => this.#self.current()?.policy,
      limits: () => this.#limits(),
      isSamePort: this.#deps.isSamePort ?? Object.is,
    });
  }

  #makeInbound() {
    const inbound = new Inbound({
      clock: this.#deps.clock,
      conveyor: this.#conveyor,
      policy: () => this.#self.current()?.policy,
      generation: () => this.#keeper.current(),
      challenges: this.#challenges,
      edge: new EdgeFront(this.#deps.edge ?? { current: () => undefined }),
      openHalf: this.#deps.openHalf,
      delivery: this.#delivery,
      tunnels: this.#tunnels,
      offenders: this.#offenders,
      onPlaintext: (seen) => this.status.plaintext(seen),
    });
    const handle: ListenerOptions<NearSocket>['handle'] = (captured) => inbound.handle(captured);
    return this.#listener({ direction: 'inbound', hosts: inboundHosts, door: socketDoor, handle });
  }

  #makeOutbound() {
    const { clock, config, openHalf } = this.#deps;
    const connector = new Connector({
      clock,
      openHalf,
      transport: this.#tunnels.transport,
      ownAddresses: new Set(config.podIps),
    });
    const outbound = new Outbound({
      conveyor: this.#conveyor,
      discovery: this.#discovery,
      connector,
      openHalf,
      limits: () => this.#limits(),
    });
    const door = halfDoor(openHalf);
    const handle: ListenerOptions<NearHalf>['handle'] = (captured) => outbound.handle(captured);
    return this.#listener({ direction: 'outbound', hosts: outboundHosts, door, handle });
  }

  #listener<N extends Near>(own: Pick<ListenerOptions<N>, 'direction' | 'hosts' | 'door' | 'handle'>) {
    const { config, original, logger } = this.#deps;
    const { direction } = own;
    return new CaptureListener<N>({
      ...own,
      port: config.ports[direction],
      reusePort: this.#deps.seat !== undefined,
      original,
      ownPorts: () => [this.inbound.port, this.outbound.port],
      ownAddresses: new Set(config.podIps),
      limit: () => this.#limits().maxConcurrent,
      refused: (places, reason, detail) => this.#conveyor.refused({ direction, ...places, reason, detail }),
      failed: (err) => logger.error({ err, direction }, 'a connection failed by a fault of this proxy'),
    });
  }
}
