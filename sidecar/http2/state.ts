// What both directions of a connection have in common: streams, what either side has said of itself, and how much the client has left of its
// patience.
import type { HeaderPlan } from '../headers/plan.ts';
import type { HeadLimits } from '../http1/fields.ts';
import { Blocks } from './blocks.ts';
import { settingIds } from './codes.ts';
import { Decoder } from './decoder.ts';
import type { Line } from './encode.ts';
import { Farewell } from './farewell.ts';
import type { Floods } from './floods.ts';
import { type Ceilings, Settings } from './settings.ts';
import { MAX_STREAMS, Streams } from './streams.ts';

/** The largest table of HPACK that either side is let use: what it holds is held here, too. */
const MAX_TABLE = 16_384;

function ceilings(entries: readonly (readonly [number, number])[], said: readonly number[]): Ceilings {
  const most = new Map(entries);
  return { most, said: new Map(entries.filter(([id]) => said.includes(id))) };
}

/** State of one connection. */
export class ConnectionState {
  readonly streams = new Streams();
  readonly floods: Floods;
  readonly farewell: Farewell;
  readonly plan: HeaderPlan;
  /** What the plan puts into answers, as HTTP/2 names it. */
  readonly answerLines: readonly Line[];
  readonly application: Settings;
  /** Pushed answers were asked for by nobody and judged by nobody, so that no application is let push. */
  readonly client = new Settings(
    ceilings(
      [
        [settingIds.headerTableSize, MAX_TABLE],
        [settingIds.enablePush, 0],
      ],
      [settingIds.enablePush],
    ),
  );
  readonly requests: Blocks;
  readonly answers: Blocks;

  /** See HeadLimits. */
  readonly refuseUnderscores: HeadLimits['refuseUnderscores'];

  constructor(limits: HeadLimits, plan: HeaderPlan, floods: Floods, nowMs: () => number) {
    this.refuseUnderscores = limits.refuseUnderscores;
    this.plan = plan;
    this.answerLines = plan.answers.map(lowerCase);
    this.floods = floods;
    this.farewell = new Farewell(nowMs);
    this.application = new Settings(
      ceilings(
        [
          [settingIds.headerTableSize, MAX_TABLE],
          [settingIds.maxConcurrentStreams, MAX_STREAMS],
          [settingIds.maxHeaderListSize, limits.octets],
        ],
        [settingIds.maxConcurrentStreams, settingIds.maxHeaderListSize],
      ),
    );
    this.requests = new Blocks(new Decoder(limits));
    this.answers = new Blocks(new Decoder(limits));
  }

  /** Somebody has said something of himself, or has heard it: tables may be larger or smaller now. */
  settle(): void {
    this.requests.decoder.allow(this.application.tableSize);
    this.answers.decoder.allow(this.client.tableSize);
  }
}

/** Names of HTTP/2 are in lower case (RFC 9113 section 8.2). */
export function lowerCase({ name, value }: Line): Line {
  return { name: name.toLowerCase(), value };
}
