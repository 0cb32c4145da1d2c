// A processor of their own for single processes: each gets a control group with a quota, in whichever version of cgroups this machine has
// (kernel, scheduler/sched-bwc and admin-guide/cgroup-v2). A worker with a fifth of a core, on a machine that has cores to spare beside, is to
// the others what a worker with a core is on a larger one.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClusterError } from '../../hack/cluster/failure.ts';
import { systemCode } from '../../lib/errors.ts';

/** As Kubernetes has it. */
const PERIOD_US = 100_000;
const mountPoint = '/sys/fs/cgroup';
const firstVersion = join(mountPoint, 'cpu');

/** Gives out quotas. */
export class Quotas {
  readonly #root: string;
  readonly #isFirstVersion: boolean;
  readonly #groups: string[] = [];

  private constructor(root: string, isFirstVersion: boolean) {
    this.#root = root;
    this.#isFirstVersion = isFirstVersion;
  }

  /** Throws ClusterError where processes cannot be given one. */
  static open(): Quotas {
    const controllers = join(mountPoint, 'cgroup.controllers');
    if (existsSync(controllers) && readFileSync(controllers, 'utf8').split(/\s/).includes('cpu')) {
      attempt(() => writeFileSync(join(mountPoint, 'cgroup.subtree_control'), '+cpu'));
      return new Quotas(mountPoint, false);
    }
    if (existsSync(join(firstVersion, 'cgroup.procs'))) return new Quotas(firstVersion, true);
    throw new ClusterError(`no control group under ${mountPoint} has quotas of the processor`);
  }

  /** From now on this process, with all its threads, has this part of one core and no more. */
  limit(pid: number, cores: number): void {
    const folder = join(this.#root, `tabard-cores-${process.pid}-${this.#groups.length}`);
    const quota = Math.round(cores * PERIOD_US);
    attempt(() => {
      mkdirSync(folder);
      this.#groups.push(folder);
      if (this.#isFirstVersion) {
        writeFileSync(join(folder, 'cpu.cfs_period_us'), String(PERIOD_US));
        writeFileSync(join(folder, 'cpu.cfs_quota_us'), String(quota));
      } else {
        writeFileSync(join(folder, 'cpu.max'), `${quota} ${PERIOD_US}`);
      }
      writeFileSync(join(folder, 'cgroup.procs'), String(pid));
    });
  }

  /** Removes the groups; the processes have to be over. */
  remove(): void {
    for (const folder of this.#groups.splice(0)) rmdirSync(folder);
  }
}

function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    throw new ClusterError(
      `processes cannot be given quotas of the processor here (${code}); root may, outside of a container`,
    );
  }
}
