// Which suites of the data path run over both relays by themselves, and which have to run once more for the relay that the chart does not choose.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folders = ['http1', 'http2', 'sidecar'] as const;
/** What a suite imports that moves bytes through a sidecar made by the test, and what one imports that names the relays itself. */
const moves = /support\/(?:pocketmesh|relays)\.ts|support\/pairprocess/;
const namesRelays = /\b(?:everyWay|bothWays|relayNames)\b/;
/** The bundle, which chooses its own relay; and what floods of requests leave in memory, which is not the relay's and takes a minute. */
const onceIsEnough: readonly string[] = ['footprint.test.ts', 'floodmemory.test.ts'];

/** Suites that run over one relay at a time, as paths from the checkout. */
export function suitesOfOneRelay(root: string): readonly string[] {
  return folders.flatMap((folder) => {
    const path = `test/integration/${folder}`;
    const names = readdirSync(join(root, path)).filter(
      (name) => name.endsWith('.test.ts') && !onceIsEnough.includes(name),
    );
    return names
      .map((name) => `${path}/${name}`)
      .filter((file) => {
        const text = readFileSync(join(root, file), 'utf8');
        return moves.test(text) && !namesRelays.test(text);
      });
  });
}
