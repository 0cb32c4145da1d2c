// Under which conditions a run was made, in one sentence or two.
import { cpus, release } from 'node:os';
import { group, suite } from './contestant.ts';

/** A text for the page and the terminal. */
export function conditions(run: {
  readonly rounds: number;
  readonly length: number;
  readonly loadBefore: number;
  readonly loadAfter: number;
}): string {
  const processors = cpus();
  const { rounds, length, loadBefore, loadAfter } = run;
  const when = new Date().toISOString().slice(0, 10);
  return (
    `Measured ${when} on ${processors.length} processors (${processors[0]?.model.trim() ?? 'unknown'}), Linux ${release()}, Node ${process.versions.node} ` +
    `(OpenSSL ${process.versions.openssl}); ${rounds} rounds${length === 1 ? '' : ` of ${length} of the usual length`}; load of the machine before ` +
    `${loadBefore.toFixed(1)}, after ${loadAfter.toFixed(1)}. All pairs: TLS 1.3, ${suite}, ${group}, ECDSA P-256 on both sides.`
  );
}
