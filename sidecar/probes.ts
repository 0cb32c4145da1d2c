// The kubelet's probes and hooks that injection rewrote (lib/api/probes.ts), carried out from inside the pod as the sidecar's own
// user, whose traffic is not captured. They go to the pod's own address, as the kubelet's would: an application that listens on
// loopback alone stays as un-ready as it is without Tabard.
import type { ProbeAction, RewrittenProbe } from '../lib/api/probes.ts';
import { AppError, messageOf } from '../lib/errors.ts';
import { probeGrpc } from './probe/grpc.ts';
import { probeHttp } from './probe/http.ts';
import { failed, type ProbeContext, type ProbeOutcome } from './probe/outcome.ts';
import { probeTcp } from './probe/tcp.ts';

/** What a runner is made of. */
export interface ProbeRunnerOptions {
  readonly probes: readonly RewrittenProbe[];
  /** The pod's addresses, the primary one first. */
  readonly podIps: readonly string[];
}

/** Carries out probes by their id. */
export class ProbeRunner {
  readonly #probes: ReadonlyMap<string, RewrittenProbe>;
  readonly #address: string;
  readonly #running = new Map<string, Promise<ProbeOutcome>>();

  constructor({ probes, podIps }: ProbeRunnerOptions) {
    this.#probes = new Map(probes.map((probe) => [probe.id, probe]));
    this.#address = podIps[0] ?? '127.0.0.1';
  }

  /** Whether an id is a lifecycle hook. The kubelet takes any HTTP answer to a hook for success. */
  isHook(id: string): boolean {
    return /\/(postStart|preStop)(\/|$)/.test(id);
  }

  /**
   * Carries out a probe within its timeout, or joins the run that is under way: whoever asks as well cannot make the
   * application answer more often, nor take the kubelet's place. `undefined` for an id that this pod has not. Never rejects.
   * `userAgent` is the asking client's; a kubelet's is passed on to the application.
   */
  async run(id: string, userAgent: string = ''): Promise<ProbeOutcome | undefined> {
    const probe = this.#probes.get(id);
    if (probe === undefined) return undefined;
    const running = this.#running.get(id) ?? this.#start(probe, userAgent);
    this.#running.set(id, running);
    return running;
  }

  async #start({ id, timeoutMs, action }: RewrittenProbe, asker: string): Promise<ProbeOutcome> {
    const signal = AbortSignal.timeout(timeoutMs);
    const userAgent = /^kube-[a-z]+\//.test(asker) ? asker : 'kube-probe/tabard';
    try {
      const outcome = await carryOut(action, { address: this.#address, userAgent, signal });
      return signal.aborted && !outcome.success ? failed(`no answer within ${timeoutMs} ms`) : outcome;
    } finally {
      this.#running.delete(id);
    }
  }
}

function carryOut(action: ProbeAction, context: ProbeContext): Promise<ProbeOutcome> {
  switch (action.kind) {
    case 'http':
      return probeHttp(action, context);
    case 'tcp':
      return probeTcp(action, context);
    case 'grpc':
      return probeGrpc(action, context);
    default:
      return action satisfies never;
  }
}

/** Reads the JSON that the webhook put into the environment. Throws AppError `config_invalid` for anything that it does not write. */
export function parseProbes(text: string): readonly RewrittenProbe[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new AppError('config_invalid', `the list of probes is no JSON: ${messageOf(cause)}`, { cause });
  }
  if (!Array.isArray(parsed) || !parsed.every(isProbe)) {
    throw new AppError(
      'config_invalid',
      'the list of probes is not as the webhook writes it; are both of one version?',
    );
  }
  return parsed;
}

function isProbe(value: unknown): value is RewrittenProbe {
  const { id, timeoutMs, action } = (value ?? {}) as Partial<RewrittenProbe>;
  const port = action?.port;
  return (
    typeof id === 'string' &&
    Number.isInteger(timeoutMs) &&
    Number.isInteger(port) &&
    (action?.kind === 'tcp' || isHttp(action) || (action?.kind === 'grpc' && typeof action.service === 'string'))
  );
}

function isHttp(action: ProbeAction | undefined): boolean {
  return (
    action?.kind === 'http' &&
    typeof action.path === 'string' &&
    (action.scheme === 'HTTP' || action.scheme === 'HTTPS') &&
    Array.isArray(action.headers) &&
    action.headers.every(({ name, value }) => typeof name === 'string' && typeof value === 'string')
  );
}
