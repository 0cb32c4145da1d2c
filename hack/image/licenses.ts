// The licences of the npm packages that ended up in a bundle, as one text: MIT and its kin ask that their notice goes along.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The texts of all packages that the given source files belong to, sorted by package, each with its version and declared licence. */
export function licenseTexts(root: string, sources: readonly string[]): string {
  const folders = new Set(sources.map(packageFolder).filter((folder) => folder !== undefined));
  return [...folders]
    .sort()
    .map((folder) => describe(join(root, folder)))
    .join('\n');
}

/** `node_modules/a/node_modules/@b/c/index.js` belongs to `node_modules/a/node_modules/@b/c`. */
function packageFolder(source: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(source)?.[0];
}

function describe(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly name: string;
    readonly version: string;
    readonly license?: unknown;
  };
  const texts = readdirSync(folder)
    .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file) && existsSync(join(folder, file)))
    .sort()
    .map((file) => readFileSync(join(folder, file), 'utf8').trim());
  return `==== ${name} ${version} (${typeof license === 'string' ? license : 'see text'})\n\n${texts.join('\n\n')}\n`;
}
