// `tabard ca distrust-now`: the emergency, for a CA whose key somebody else has.
import { annotations } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, UsageError, wordsOf } from '../command.ts';
import { inventory } from '../inventory.ts';
import { listAll } from '../list.ts';

/** See its details. */
export const caDistrustCommand: Command = {
  name: 'ca distrust-now',
  usage: 'FINGERPRINT --yes-break-connections',
  summary: 'Distrust a CA at once, whatever breaks: for a CA whose key somebody else has',
  details: `FINGERPRINT is the whole SHA-256 of the CA's certificate, as \`tabard ca status ISSUER\` prints it: that is the confirmation. The CA leaves every bundle now and never comes back, without waiting for anybody. If it signs, another CA takes its place at once. Connections between pods break until both ends have the new bundle and a new certificate: seconds for sidecars that are connected to the operator, until the next start for others, and by hand for clients outside of the mesh that were given the old root.
Without --yes-break-connections it says what would break and asks for the fingerprint, or, where nobody can answer, ends with 2.
For everything else there is \`tabard ca rotate\`, which breaks nothing.`,
  options: { 'yes-break-connections': { type: 'boolean', help: 'yes, connections may break' } },
  examples: ['tabard ca distrust-now 4f0a…c2 --yes-break-connections'],
  run: distrust,
};

async function distrust(invocation: Invocation) {
  const { terminal, options, words, cluster, signal } = invocation;
  const [given = ''] = wordsOf(words, ['FINGERPRINT']);
  const fingerprint = given.replaceAll(':', '').toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(fingerprint)) {
    throw new UsageError('FINGERPRINT must be whole: 64 hexadecimal digits, as `tabard ca status ISSUER` prints them');
  }
  const { client } = cluster();
  const issuers = await listAll(client, resources.tlsissuers, {}, signal);
  const issuer = issuers.find(({ status }) => status?.authorities?.some((each) => each.fingerprint === fingerprint));
  if (issuer === undefined) {
    terminal.err(
      'No issuer has that CA in its bundle: nobody trusts it. `tabard ca status -o wide` lists those there are.',
    );
    return exitCodes.fault;
  }
  await warn(invocation, issuer, fingerprint);
  if (options['yes-break-connections'] !== true) {
    const answer = await terminal.ask('Type the fingerprint to go on, anything else to leave: ');
    if (answer === undefined) {
      throw new UsageError('nothing was done: add --yes-break-connections to go on');
    }
    if (answer.trim().replaceAll(':', '').toLowerCase() !== fingerprint) {
      terminal.err('Nothing was done.');
      return exitCodes.fault;
    }
  }
  const { name } = issuer.metadata;
  const patch = { metadata: { annotations: { [annotations.distrustNow]: fingerprint } } };
  await client.patch(resources.tlsissuers, { name }, patch, { signal, fieldManager: 'tabard-cli' });
  terminal.out(
    `CA ${fingerprint.slice(0, 16)} of issuer "${name}" is distrusted from now on. Follow it with \`tabard ca status ${name}\`.`,
  );
  return exitCodes.ok;
}

async function warn({ terminal, clock, cluster, signal }: Invocation, issuer: TLSIssuer, fingerprint: string) {
  const policies = await listAll(cluster().client, resources.tlspolicies, {}, signal);
  const { name } = issuer.metadata;
  const certificates = inventory({ secrets: undefined, policies, pods: undefined }, clock.now()).filter(
    (entry) => entry.issuer === name,
  );
  const pods = certificates.reduce((sum, entry) => sum + (entry.pods ?? 0), 0);
  const role = issuer.status?.authorities?.find((each) => each.fingerprint === fingerprint)?.role ?? 'unknown';
  terminal.err(
    `This breaks connections. CA ${fingerprint.slice(0, 16)} of issuer "${name}" (${role}) leaves every bundle at once:`,
  );
  terminal.err(
    `  - ${certificates.length} services with ${pods} pods that policies list have certificates of this issuer;`,
  );
  terminal.err('    those signed by this CA are refused everywhere, on live connections too, until they are replaced;');
  terminal.err('  - clients outside of the mesh that were given this root refuse you until they have the new one;');
  terminal.err('  - it cannot be undone: a distrusted CA never comes back.');
}
