// A further worker: the same core on the same ports as the first one, which tells it everything that it knows.
import type { CertificateSource, CredentialTexts, CredentialVerdict } from '../../lib/runtime/credentials.ts';
import type { Core } from '../core.ts';
import type { EdgeCertificate, EdgeVerdict } from '../edge/certificate.ts';
import { aborted } from '../wait.ts';
import { Channel } from './channel.ts';
import type { EdgeTexts, Told } from './link.ts';
import type { ProxyParts } from './parts.ts';
import { RemoteControl } from './remote.ts';
import type { Seat } from './seat.ts';
import { shareOf } from './share.ts';

/** What a further worker is made of. */
export interface FurtherParts extends ProxyParts {
  /** Makes the core. */
  makeCore(own: {
    readonly seat: Seat;
    readonly source: CertificateSource;
    readonly edge: { current(): EdgeCertificate | undefined };
    readonly ports: { readonly inbound: number; readonly outbound: number };
  }): Core;
  readonly makeSource: () => CertificateSource & { offer(texts: CredentialTexts, now: Date): CredentialVerdict };
  readonly judgeEdge: (certificate: string, key: string, now: Date) => EdgeVerdict;
}

type Start = Extract<Told, { kind: 'start' }>;

/** Runs until the first worker says that it stops, or is gone. Its parts are run by the lifecycle that it is given. */
export async function startFurther(parts: FurtherParts): Promise<Channel> {
  const channel = new Channel();
  channel.say({ kind: 'hello' });
  const start = await channel.next();
  if (start.kind === 'start') await new FurtherWorker(parts, channel, start).run();
  else parts.stop('the first worker stops');
  return channel;
}

class FurtherWorker {
  readonly #parts: FurtherParts;
  readonly #channel: Channel;
  readonly #control: RemoteControl;
  readonly #source: ReturnType<FurtherParts['makeSource']>;
  readonly #core: Core;
  #edge: EdgeCertificate | undefined;

  constructor(parts: FurtherParts, channel: Channel, start: Start) {
    const { clock, logger } = parts;
    this.#parts = parts;
    this.#channel = channel;
    const { awaySinceMs, workers, kept, ports } = start;
    this.#control = new RemoteControl({ clock, logger, awaySinceMs, say: (said) => channel.say(said) });
    this.#source = parts.makeSource();
    if (start.credentials !== undefined) this.#offer(start.credentials);
    this.#takeEdge(start.edge);
    // The first one keeps snapshots for all.
    const store = { load: () => Promise.resolve(kept), touch: () => undefined, run: aborted };
    const seat: Seat = {
      control: () => this.#control,
      store: () => store,
      kept: (own) => own,
      share: shareOf(workers),
      // The first one waits for it before it tells the operator.
      settleMs: 0,
    };
    const edge = { current: () => this.#edge };
    this.#core = parts.makeCore({ seat, source: this.#source, edge, ports });
  }

  async run(): Promise<void> {
    const { traffic, background } = this.#parts;
    await this.#core.restore();
    this.#core.run(traffic, background);
    this.#channel.take((told) => this.#told(told));
    this.#core.status.touchNow();
  }

  #told(told: Told): void {
    if (told.kind === 'line') this.#control.heard(told);
    else if (told.kind === 'credentials') this.#offer(told.credentials);
    else if (told.kind === 'edge') this.#takeEdge(told.edge);
    else if (told.kind === 'away') this.#control.away(told.sinceMs);
    else if (told.kind === 'ping') this.#channel.say({ kind: 'here' });
    else if (told.kind === 'ask') void this.#sayMetrics();
    else if (told.kind === 'listen') this.#listen();
    else if (told.kind === 'stop') this.#parts.stop('the first worker stops');
  }

  #listen(): void {
    this.#core.listen().then(
      () => this.#channel.say({ kind: 'listening' }),
      (error: unknown) => this.#parts.stop('the ports cannot be shared', error),
    );
  }

  async #sayMetrics(): Promise<void> {
    this.#channel.say({ kind: 'metrics', text: await this.#parts.metrics.text() });
  }

  #offer(texts: CredentialTexts): void {
    const { clock, logger } = this.#parts;
    const verdict = this.#source.offer(texts, clock.now());
    if (!verdict.good) logger.warn({ fault: verdict.fault, detail: verdict.detail }, 'certificate refused');
  }

  #takeEdge(texts: EdgeTexts): void {
    const { judgeEdge, clock, logger } = this.#parts;
    if (texts === undefined) {
      this.#edge = undefined;
      return;
    }
    const verdict = judgeEdge(texts.certificate, texts.key, clock.now());
    if (verdict.good) this.#edge = verdict.edge;
    else logger.warn({ detail: verdict.detail }, 'edge certificate refused');
  }
}
