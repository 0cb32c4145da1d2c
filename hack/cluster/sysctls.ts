// The kubelet insists on some settings of the whole machine's kernel when it starts (among them: panic on an oops). They
// are put back once the node is ready, because the machine is the developer's.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const NAMES = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

/** Notes the present values; to be called before the kubelet starts. */
export function rememberSysctls(state: string): void {
  const values = NAMES.filter((name) => existsSync(`/proc/sys/${name}`)).map((name) => [name, read(name)]);
  writeFileSync(fileOf(state), JSON.stringify(Object.fromEntries(values)));
}

/** Puts back what was noted, if anything was; safe to repeat. */
export function restoreSysctls(state: string): void {
  const file = fileOf(state);
  if (!existsSync(file)) return;
  const values = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, string>>;
  for (const [name, value] of Object.entries(values)) {
    if (read(name) !== value) writeFileSync(`/proc/sys/${name}`, value);
  }
  rmSync(file);
}

function read(name: string): string {
  return readFileSync(`/proc/sys/${name}`, 'utf8').trim();
}

function fileOf(state: string): string {
  return join(state, 'sysctls.json');
}
