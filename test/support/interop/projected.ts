// A folder as the kubelet projects a Secret into it (its AtomicWriter): the files stand in a dated folder, `..data` is a link to that, and
// each visible name is a link through `..data`. An update writes a new dated folder and renames one link.
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

/** Files by name. */
export type Files = Readonly<Record<string, Buffer>>;

/** Replaces what the folder shows, in one step. */
export function project(folder: string, files: Files): void {
  const before = readdirSync(folder).includes('..data') ? readlinkSync(join(folder, '..data')) : undefined;
  const dated = mkdtempSync(join(folder, '..2026_11_22_'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dated, name), content, { mode: 0o644 });
  symlinkSync(basename(dated), join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  const visible = readdirSync(folder).filter((name) => !name.startsWith('..'));
  for (const name of Object.keys(files)) {
    if (!visible.includes(name)) symlinkSync(join('..data', name), join(folder, name));
  }
  for (const name of visible) if (!(name in files)) rmSync(join(folder, name));
  if (before !== undefined) rmSync(join(folder, before), { recursive: true });
}

/** What the folder shows now. */
export function shown(folder: string, name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}
