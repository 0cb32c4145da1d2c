// What the first worker and a further one say to each other over their IPC channel, a pair of sockets that nobody else has. Private to
// one version: both are the same program, started one after the other in one container.
import type { StatusReport } from '../../lib/api/control.ts';
import type { CredentialTexts } from '../../lib/runtime/credentials.ts';
import type { Kept } from '../control/store.ts';

/** The texts of an edge certificate; undefined where there is none. */
export type EdgeTexts = { readonly certificate: string; readonly key: string } | undefined;

/** The ports that all workers share. */
export interface DataPorts {
  readonly inbound: number;
  readonly outbound: number;
}

/** First to further. */
export type Told =
  /** All that is known when it starts. `awaySinceMs` is when the control API was lost (ms since the epoch); absent while it is there. */
  | {
      readonly kind: 'start';
      readonly ports: DataPorts;
      readonly workers: number;
      readonly kept?: Kept;
      readonly awaySinceMs?: number;
      readonly credentials?: CredentialTexts;
      readonly edge?: EdgeTexts;
    }
  /** A message of the control API. */
  | { readonly kind: 'line'; readonly path: string; readonly message: unknown }
  | { readonly kind: 'away'; readonly sinceMs?: number }
  | { readonly kind: 'credentials'; readonly credentials: CredentialTexts }
  | { readonly kind: 'edge'; readonly edge?: EdgeTexts }
  /** It applies what the first one applies, and may take connections. */
  | { readonly kind: 'listen' }
  /** Answered with `metrics`. */
  | { readonly kind: 'ask' }
  /** Answered with `here`. */
  | { readonly kind: 'ping' }
  | { readonly kind: 'stop' };

/** Further to first. */
export type Said =
  /** It is there and wants `start`. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'follow'; readonly path: string }
  | { readonly kind: 'leave'; readonly path: string }
  /** What it applies, and what it has counted since it last said so. */
  | { readonly kind: 'report'; readonly report: StatusReport }
  | { readonly kind: 'listening' }
  | { readonly kind: 'metrics'; readonly text: string }
  | { readonly kind: 'here' };
