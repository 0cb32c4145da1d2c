// The application before a churned sidecar, in its pod's namespace: opens connections of every kind for ever, so many a second, and some that
// last. Knows what has to come of each kind, and counts what did not. `node caller.ts <connections a second> <lasting ones>`.
import { answering, type Line } from '../../test/support/pods/inside.ts';
import { dial, everyKind, random } from './kinds.ts';
import { PLAIN_PORT, STEADY } from './ports.ts';

/** What came of the connections so far. */
export interface Called {
  /** By kind: those that came out as they have to, and the others. */
  readonly kinds: Readonly<Record<string, { readonly right: number; readonly wrong: number }>>;
  /** The first few of those that did not. */
  readonly why: readonly string[];
  /** Lasting connections that were ended and opened again. */
  readonly reopened: number;
}

/** What it can be asked; `rest` is answered when only lasting connections are left. */
export type CallerQuestion = { readonly do: 'rest' | 'go on' | 'tell' };

const [perSecond = 1, lasting = 0] = process.argv.slice(2).map(Number);
const kinds: Record<string, { right: number; wrong: number }> = {};
const why: string[] = [];
const going = new Set<Promise<void>>();
let [reopened, isResting] = [0, false];

const shares = Object.entries(everyKind).flatMap(([name, [share]]) => Array.from({ length: share }, () => name));

async function one(): Promise<void> {
  const name = shares[random(shares.length)] ?? 'echo';
  const count = (kinds[name] ??= { right: 0, wrong: 0 });
  const wrong = await everyKind[name]?.[1]();
  if (wrong === undefined) count.right += 1;
  else {
    count.wrong += 1;
    if (why.length < 20) why.push(`${new Date().toISOString()} ${name}: ${wrong}`);
  }
}

/** A connection that says something now and then until it is ended; then another. */
async function last(): Promise<never> {
  for (;;) {
    const socket = dial(STEADY, PLAIN_PORT);
    const over = new Promise((resolve) => socket.on('close', resolve));
    socket.on('end', () => socket.end()).resume();
    const talk = setInterval(() => {
      if (socket.writable) socket.write('echo\n');
    }, 5_000);
    await over;
    clearInterval(talk);
    reopened += 1;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function rest(): Promise<void> {
  isResting = true;
  // Each of them has its bound.
  await Promise.all(going);
}

setInterval(() => {
  if (isResting) return;
  const running = one();
  going.add(running);
  void running.finally(() => going.delete(running));
}, 1_000 / perSecond);
for (let each = 0; each < lasting; each += 1) void last();
answering((asked: Line) => {
  if (asked['do'] === 'rest') return rest();
  if (asked['do'] === 'go on') isResting = false;
  return { kinds, why, reopened } satisfies Called;
});
