// `tabard revocations` and `tabard unrevoke`.
import { resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, wordsOf } from '../command.ts';
import { listAll } from '../list.ts';
import { outputForm, outputOption } from '../options.ts';
import { isEnforced, revocationTable } from '../revocations.ts';

/** See its details. */
export const revocationsCommand: Command = {
  name: 'revocations',
  usage: '[-o table|json]',
  summary: 'List what is revoked, and by how many sidecars that is enforced',
  details: 'Ends with 1 when one of them is not enforced by every live sidecar.',
  options: { ...outputOption },
  examples: ['tabard revocations'],
  run: list,
};

/** See its details. */
export const unrevokeCommand: Command = {
  name: 'unrevoke',
  usage: 'NAME',
  summary: 'Lift a revocation',
  details: 'Deletes the TLSRevocation; sidecars forget it within seconds. A serial that was revoked stays replaced.',
  options: {},
  examples: ['tabard unrevoke pod-shop-web-7d4b9c-x2x8f-1f2e3d4c'],
  run: unrevoke,
};

async function list({ terminal, clock, options, words, cluster, signal }: Invocation) {
  wordsOf(words, []);
  const form = outputForm(options);
  const all = await listAll(cluster().client, resources.tlsrevocations, {}, signal);
  const revocations = [...all].sort((a, b) => a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp));
  if (form === 'json') {
    const shown = revocations.map(({ metadata, spec, status }) => ({ name: metadata.name, spec, status }));
    terminal.out(JSON.stringify(shown, undefined, 2));
  } else if (revocations.length === 0) terminal.err('Nothing is revoked.');
  else for (const line of revocationTable(revocations, clock.now())) terminal.out(line);
  return revocations.every(isEnforced) ? exitCodes.ok : exitCodes.fault;
}

async function unrevoke({ terminal, words, cluster, signal }: Invocation) {
  const [name = ''] = wordsOf(words, ['NAME']);
  await cluster().client.delete(resources.tlsrevocations, { name }, { signal });
  terminal.out(`TLSRevocation "${name}" is lifted.`);
  return exitCodes.ok;
}
