// Mixed load with a count of what failed. Each kind runs twice: on one lasting connection, and on a new connection per call. A lasting
// connection that was closed is opened anew and the call made again, once, as every connection pool does; that is counted apart, as
// `reopened`. Prints one JSON line a second and a last one with `"done":true`; exit code 1 when anything failed.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kind, kinds, type Line } from './kinds.ts';

type Environment = Readonly<Record<string, string | undefined>>;

interface Tally {
  calls: number;
  failed: number;
  reopened: number;
  /** The first few failures, for the reader. */
  readonly errors: string[];
}

const kept = 20;

function settings(environment: Environment) {
  const wanted = (environment['LOAD_KINDS'] ?? Object.keys(kinds).join(',')).split(',').filter((name) => name !== '');
  return {
    wanted,
    seconds: Number(environment['LOAD_SECONDS'] ?? '3600'),
    /** Between calls on new connections, and between calls on a lasting one. */
    pauseMs: Number(environment['LOAD_PAUSE_MS'] ?? '50'),
    lastingPauseMs: Number(environment['LOAD_LASTING_PAUSE_MS'] ?? '300'),
    marker: environment['LOAD_MARKER'] ?? 'shop-load',
    host: (name: string) =>
      environment[`LOAD_HOST_${name.toUpperCase().replaceAll('-', '_')}`] ?? kinds[name]?.host ?? name,
  };
}

/** Runs until `LOAD_SECONDS` have passed or the signal fires. Exit code. */
export async function runLoad(environment: Environment, stop: AbortSignal): Promise<number> {
  const { wanted, seconds, pauseMs, lastingPauseMs, marker, host } = settings(environment);
  const end = AbortSignal.any([stop, AbortSignal.timeout(seconds * 1_000)]);
  const tallies = new Map<string, Tally>();
  const workers = wanted.flatMap((name) => {
    const kind = kinds[name];
    if (kind === undefined)
      throw new Error(`LOAD_KINDS: no kind "${name}"; there are ${Object.keys(kinds).join(', ')}`);
    return [true, false].map((lasting) => {
      const tally: Tally = { calls: 0, failed: 0, reopened: 0, errors: [] };
      tallies.set(`${name}${lasting ? '' : '-new'}`, tally);
      return work({
        open: kind.open,
        host: host(name),
        lasting,
        marker,
        pauseMs: lasting ? lastingPauseMs : pauseMs,
        tally,
        end,
      });
    });
  });
  const report = setInterval(() => console.log(summary(tallies, false)), 1_000);
  await Promise.all(workers);
  clearInterval(report);
  console.log(summary(tallies, true));
  return [...tallies.values()].some((tally) => tally.failed > 0 || tally.calls === 0) ? 1 : 0;
}

interface Worker {
  readonly open: Kind;
  readonly host: string;
  readonly lasting: boolean;
  readonly marker: string;
  readonly pauseMs: number;
  readonly tally: Tally;
  readonly end: AbortSignal;
}

async function work({ open, host, lasting, marker, pauseMs, tally, end }: Worker): Promise<void> {
  let line: Line | undefined;
  const call = async (): Promise<void> => {
    line ??= await open(host);
    await line.call(`${marker}-${tally.calls}`);
  };
  const drop = async (): Promise<void> => {
    await line?.close().catch(() => undefined);
    line = undefined;
  };
  while (!end.aborted) {
    const used = line !== undefined;
    try {
      await call().catch(async (error: unknown) => {
        if (!used) throw error;
        tally.reopened += 1;
        await drop();
        await call();
      });
      if (!lasting) await drop();
    } catch (error) {
      tally.failed += 1;
      const text = error instanceof Error ? error.message : String(error);
      if (tally.errors.length < kept) tally.errors.push(`${new Date().toISOString()} call ${tally.calls}: ${text}`);
      await drop();
      await sleep(200);
    }
    tally.calls += 1;
    await sleep(pauseMs);
  }
  await drop();
}

function summary(tallies: ReadonlyMap<string, Tally>, done: boolean): string {
  const all = [...tallies.values()];
  const sum = (pick: (tally: Tally) => number): number => all.reduce((total, tally) => total + pick(tally), 0);
  return JSON.stringify({
    done,
    calls: sum((tally) => tally.calls),
    failed: sum((tally) => tally.failed),
    reopened: sum((tally) => tally.reopened),
    kinds: Object.fromEntries(tallies),
  });
}

/** A batch job: fifty calls over HTTP and one row from PostgreSQL, then it ends. Exit code. */
export async function runJob(environment: Environment): Promise<number> {
  return runLoad({ LOAD_KINDS: 'http,postgres', LOAD_SECONDS: '3', ...environment }, new AbortController().signal);
}
