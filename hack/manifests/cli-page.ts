// docs/cli.md from the texts that `tabard help` prints, so that the page cannot lack a command or an option.
import type { Command } from '../../cli/command.ts';
import { commands } from '../../cli/commands.ts';
import { exitCodeLines, optionName } from '../../cli/help.ts';
import { globalOptions } from '../../cli/options.ts';

const head = `# The command line

<!-- Generated from cli/ by \`make manifests\`. -->

\`tabard\` sees and steers certificates, CAs and revocations, and explains who may call whom, with your own rights in the cluster: it talks to the Kubernetes API alone, through the same kubeconfig as kubectl, and needs nothing else to be reachable.
What it changes are fields and annotations that you could write by hand; the operator acts on them.

From a checkout: \`make tabard ARGS="certs -A"\`. To install it: \`make build\`, then put \`dist/tabard.js\` (one file, needs Node 24.12 or newer) on the path as \`tabard\`, and as \`kubectl-tabard\` for \`kubectl tabard\`.

`;

const rights = `## Rights

| command | needs |
|---|---|
| \`certs\` | list \`tlspolicies\`; list \`secrets\` and \`pods\` for all of it |
| \`ca status\` | get, list \`tlsissuers\` |
| \`ca rotate\`, \`pause\`, \`resume\`, \`undo\`, \`distrust-now\` | get, list, patch \`tlsissuers\`; list \`tlspolicies\` and, for \`--plan\`, \`pods\` |
| \`revoke\` | create, get \`tlsrevocations\`; get \`pods\` for \`revoke pod\` |
| \`revocations\`, \`unrevoke\` | list, delete \`tlsrevocations\` |
| \`authz explain\`, \`who-can\`, \`matrix\` | list \`tlspolicies\`, \`tlsbaselines\`, \`tlsroles\`, \`pods\` |
| \`authz unused\` | list \`tlspolicies\` |
`;

/** The whole page. */
export function cliPage(): string {
  const codes = exitCodeLines.map(([code, meaning]) => `| ${code} | ${meaning} |\n`).join('');
  return [
    head,
    `## Options of every command\n\n${optionTable(globalOptions)}\n`,
    `## Exit codes\n\n| code | |\n|---|---|\n${codes}\n`,
    ...commands.map(section),
    rights,
  ].join('');
}

function section({ name, usage, summary, details, options, examples }: Command): string {
  const own = Object.keys(options).length === 0 ? '' : `${optionTable(options)}\n`;
  const text = details.split('\n').join('\n\n');
  const shown = examples.map((example) => `${example}\n`).join('');
  return `## tabard ${name}\n\n${summary}.\n\n\`tabard ${name}${usage === '' ? '' : ` ${usage}`}\`\n\n${text}\n\n${own}\`\`\`sh\n${shown}\`\`\`\n\n`;
}

function optionTable(options: Command['options']): string {
  const rows = Object.entries(options).map(([name, spec]) => `| \`${optionName(name, spec)}\` | ${spec.help} |\n`);
  return `| option | |\n|---|---|\n${rows.join('')}`;
}
