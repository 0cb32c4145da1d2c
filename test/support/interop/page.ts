// docs/interop.md, written from what the run saw.
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { clientKinds } from './clients.ts';
import { serverKinds } from './servers.ts';
import { okHttpClient, springServer } from './spring.ts';

/** What was found out about each program: the step of a rotation, and whether it came through. */
export type Findings = ReadonlyMap<string, ReadonlyMap<string, boolean>>;

/** The steps, in order, as columns of the table. */
export const steps = ['start', 'renewal', 'both CAs trusted', 'new CA signs', 'old CA gone'] as const;
export type Step = (typeof steps)[number];

const path = resolve(import.meta.dirname, '../../../docs/interop.md');

/** The page as it stands. */
export function currentPage(): string {
  return readFileSync(path, 'utf8');
}

/** Replaces the page. */
export function writePage(text: string): void {
  writeFileSync(path, text);
}

/** The page that these findings make. */
export function pageOf(servers: Findings, clients: Findings, keystores: readonly string[]): string {
  return `# Who works with Tabard's certificates

Written by the test run (\`make interop\`), which fails when it sees anything else. Every program below runs on a folder as the kubelet projects Secret \`tabard-<service>\` into it, without a
sidecar. Every client calls every server after each step, in mutual TLS, and checks its name and the bundle. \`✔\`: every call worked once the files were taken up, and the serial that was shown was the new one.

Steps: **start**; **renewal** of the certificate with a new key; a rotation of the CA: **both CAs trusted** while the old one still signs, the **new CA signs** (servers first, clients a step
later, and the other way round), the **old CA gone** from the bundle, after which its certificates are refused. A server without a certificate from its client, or with one of a stranger's CA, refuses at every step.

## Servers

${table([...serverKinds, springServer].map((kind) => ({ ...kind, found: servers.get(kind.name) })))}

## Clients

${table([...clientKinds, okHttpClient].map((kind) => ({ ...kind, found: clients.get(kind.name) })))}

## Keystores

${keystores.map((line) => `- ${line}`).join('\n')}

## Notes

- nginx and HAProxy do not watch files. Have something tell them when \`..data\` in the folder changes: a small container of the pod that shares the process namespace, or a loop around
  \`inotifywait\`. A reload ends no connection.
- HAProxy's runtime commands change certificates without a new process, but \`commit ssl ca-file\` of 2.6 failed when certificate and CA changed together.
- What reads its files only at start shows the old certificate until it is restarted, and is refused once that has expired.
- A resumed TLS session shows the certificate of when it began: to see a new serial, or to have a removed CA count, sessions must begin anew.
- Spring Boot waits for \`spring.ssl.bundle.watch.file.quiet-period\` (10 s by default) after a change.
- Mono (6.8) stands in for .NET, with limits of its own: its TLS takes RSA keys alone (\`certificate.key: RSA-2048\`), ends at TLS 1.2, does not open today's PKCS#12, does not refuse a client without a certificate
  by itself, and closes without saying so. .NET 5 and later have none of these limits as far as their documentation goes; .NET itself was not run here.
- How it is set up, configuration by configuration: \`test/support/interop\`.
`;
}

interface Row {
  readonly name: string;
  readonly reads: string;
  readonly reloads: string;
  readonly found: ReadonlyMap<string, boolean> | undefined;
}

function table(rows: readonly Row[]): string {
  const mark = (row: Row, step: Step) => (row.found?.get(step) === true ? '✔' : '✘');
  return [
    `| | reads | takes up new files | ${steps.join(' | ')} |`,
    `|---|---|---|${steps.map(() => '---').join('|')}|`,
    ...rows.map(
      (row) => `| ${row.name} | ${row.reads} | ${row.reloads} | ${steps.map((step) => mark(row, step)).join(' | ')} |`,
    ),
  ].join('\n');
}
