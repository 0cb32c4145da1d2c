// `tabard ca status`: the issuers, their CAs, and how rotations stand.
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, wordsOf } from '../command.ts';
import { issuerLines, issuerTable, readyOf } from '../issuers.ts';
import { listAll } from '../list.ts';
import { outputForm, outputOption } from '../options.ts';

/** See its details. */
export const caStatusCommand: Command = {
  name: 'ca status',
  usage: '[ISSUER] [-o table|wide|json]',
  summary: 'Show issuers, their CAs, and who holds a rotation up',
  details: `One line per TLSIssuer; with ISSUER or -o wide also every CA in its bundle with its role (Active signs, Next is trusted and does not sign yet, Retiring has signed), the step of the rotation and the pods that it waits for.
Ends with 1 when an issuer is not ready.`,
  options: { ...outputOption },
  examples: ['tabard ca status', 'tabard ca status cluster'],
  run: status,
};

async function status({ terminal, clock, options, words, cluster, signal }: Invocation) {
  const [name] = wordsOf(words, ['ISSUER'], 1);
  const form = outputForm(options);
  const { client } = cluster();
  const issuers: readonly TLSIssuer[] =
    name === undefined
      ? await listAll(client, resources.tlsissuers, {}, signal)
      : [await client.get(resources.tlsissuers, { name }, { signal })];
  const now = clock.now();
  if (form === 'json') {
    terminal.out(
      JSON.stringify(
        issuers.map(({ metadata, spec, status: said }) => ({ name: metadata.name, spec, status: said })),
        undefined,
        2,
      ),
    );
  } else if (issuers.length === 0) terminal.err('There is no TLSIssuer.');
  else {
    for (const line of issuerTable(issuers, now)) terminal.out(line);
    if (form === 'wide' || name !== undefined) {
      for (const issuer of issuers) {
        terminal.out('');
        terminal.out(`${issuer.metadata.name}:`);
        for (const line of issuerLines(issuer, now)) terminal.out(line);
      }
    }
  }
  return issuers.every((issuer) => readyOf(issuer)?.status === 'True') ? exitCodes.ok : exitCodes.fault;
}
