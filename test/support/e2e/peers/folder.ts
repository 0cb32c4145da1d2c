// A certificate folder as the kubelet projects it, for the programs of the end-to-end suites that terminate TLS themselves: all files
// of one generation, and a word when there is another.
import { readFileSync, realpathSync, watch } from 'node:fs';
import { join } from 'node:path';

/** Options of a TLS context from one generation of the folder. */
export interface Files {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Reads all files through the target of the kubelet's link, so that they belong together. Throws when the kubelet swaps meanwhile. */
export function readFolder(folder: string): Files {
  const at = realpathSync(join(folder, '..data'));
  const text = (name: string): string => readFileSync(join(at, name), 'utf8');
  return { cert: text('tls.crt'), key: text('tls.key'), ca: text('ca.crt') };
}

/** Calls after each swap of the kubelet's. The folder is watched, not the files: those stay the same links for ever. */
export function onSwap(folder: string, act: () => void): void {
  watch(folder, (_, name) => {
    if (name !== '..data') return;
    try {
      act();
    } catch (error) {
      // The kubelet swapped once more in between: that has its own event.
      console.error(`not taken up: ${String(error)}`);
    }
  });
}
