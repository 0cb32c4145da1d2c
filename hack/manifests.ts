// `make manifests`: writes every file that is derived from another one. `--check` (make verify) writes nothing and fails
// when one is out of date, so that the chart, its README and docs/api.md cannot drift from what they describe.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { apiReference } from './manifests/api-reference.ts';
import { chartCrd } from './manifests/chart-crd.ts';
import { chartReadme } from './manifests/chart-readme.ts';
import { chartPolicyConfiguration, chartWebhookConfiguration } from './manifests/chart-webhook.ts';
import { cliPage } from './manifests/cli-page.ts';
import { reasonsPage } from './manifests/reasons-page.ts';

const root = resolve(import.meta.dirname, '..');
const chart = join(root, 'charts/tabard');

/** A derived file: where it belongs and what it must hold. */
interface Derived {
  readonly path: string;
  readonly text: string;
}

/** Every derived file of the repository. Reads, never writes. */
export function derivedFiles(): readonly Derived[] {
  const crds = readdirSync(join(root, 'crds'))
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(root, 'crds', name), 'utf8') }));
  return [
    ...crds.map(({ name, text }) => ({ path: join(chart, 'templates/crds', name), text: chartCrd(name, text) })),
    { path: join(chart, 'templates/webhook/configuration.yaml'), text: chartWebhookConfiguration() },
    { path: join(chart, 'templates/webhook/policies.yaml'), text: chartPolicyConfiguration() },
    { path: join(chart, 'README.md'), text: chartReadme(readFileSync(join(chart, 'values.yaml'), 'utf8')) },
    { path: join(root, 'docs/api.md'), text: apiReference(crds.map(({ text }) => text).reverse()) },
    { path: join(root, 'docs/reasons.md'), text: reasonsPage() },
    { path: join(root, 'docs/cli.md'), text: cliPage() },
  ];
}

/** The derived files whose text on disk is not what it must be, relative to the repository. */
export function outdated(files: readonly Derived[]): readonly Derived[] {
  return files.filter(({ path, text }) => {
    try {
      return readFileSync(path, 'utf8') !== text;
    } catch {
      return true;
    }
  });
}

function main(check: boolean): number {
  const stale = outdated(derivedFiles());
  for (const { path, text } of stale) {
    if (!check) writeFileSync(path, text);
    console.log(`${relative(root, path)} ${check ? 'is out of date' : 'written'}`);
  }
  if (check && stale.length > 0) console.error('Run `make manifests` and commit the result.');
  return check && stale.length > 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = main(process.argv.includes('--check'));
