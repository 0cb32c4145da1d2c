// `tabard ca rotate`: asks for another CA, or says what that would mean.
import { annotations, injectedKinds, labels, names } from '../../lib/api/contract.ts';
import type { TLSIssuer } from '../../lib/api/tlsissuer.ts';
import type { Pod } from '../../lib/kube/object.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, textOption, UsageError, wordsOf } from '../command.ts';
import { inventory } from '../inventory.ts';
import { issuerLines, kindOf, wasHandled } from '../issuers.ts';
import { listAll, listIfAllowed } from '../list.ts';
import { planLines } from '../plan.ts';

/** See its details. */
export const caRotateCommand: Command = {
  name: 'ca rotate',
  usage: '[ISSUER] --reason TEXT [--plan]',
  summary: 'Rotate the CA of an issuer in steps that break no connection, or show who would hold that up',
  details: `ISSUER is cluster unless stated. The new CA is put into every bundle, signs only once every live sidecar reports that bundle, then all certificates are replaced, and the old CA leaves the bundle when nobody uses a certificate of it any more. Follow it with \`tabard ca status\`; \`tabard ca undo\` takes it back until the last step.
Every reason acts once: for another rotation state another reason. It is kept in the issuer's status and in the audit trail.
With --plan nothing is changed: it prints the pods that would hold the rotation up now and how many certificates would be replaced, and ends with 1 if there is such a pod.`,
  options: {
    reason: { type: 'string', value: 'TEXT', help: 'why; each text acts once' },
    plan: { type: 'boolean', help: 'change nothing, say what would happen' },
  },
  examples: ['tabard ca rotate --plan', 'tabard ca rotate --reason "yearly exercise 2026"'],
  run: rotate,
};

async function rotate(invocation: Invocation) {
  const { terminal, options, words, cluster, signal } = invocation;
  const [name = names.defaultIssuer] = wordsOf(words, ['ISSUER'], 1);
  const reason = textOption(options, 'reason')?.trim() ?? '';
  if (options['plan'] !== true && reason === '') throw new UsageError('state why: --reason "yearly exercise 2026"');
  const { client } = cluster();
  const issuer = await client.get(resources.tlsissuers, { name }, { signal });
  if (options['plan'] === true) return plan(invocation, issuer);
  const kind = kindOf(issuer);
  if (kind !== 'selfSigned' && kind !== 'ca' && kind !== 'vault') {
    terminal.err(`The CA of issuer "${name}" (${kind}) is not Tabard's to rotate: rotate it where it is kept.`);
    return exitCodes.fault;
  }
  if (wasHandled(issuer, 'rotate', reason) || issuer.metadata.annotations?.[annotations.rotate] === reason) {
    terminal.err(`"${reason}" was asked for before, and every reason acts once: state another one.`);
    return exitCodes.fault;
  }
  const patch = { metadata: { annotations: { [annotations.rotate]: reason } } };
  await client.patch(resources.tlsissuers, { name }, patch, { signal, fieldManager: 'tabard-cli' });
  terminal.out(`The rotation of issuer "${name}" is asked for: ${reason}`);
  terminal.out('Follow it with `tabard ca status`; until its last step `tabard ca undo` takes it back.');
  if (issuer.spec.rotation?.paused === true) {
    terminal.err('Rotations of this issuer are paused: it begins with `tabard ca resume`.');
  }
  return exitCodes.ok;
}

async function plan({ terminal, clock, cluster, signal }: Invocation, issuer: TLSIssuer) {
  const { client } = cluster();
  const injected = {
    labelSelector: `${labels.injected} in (${injectedKinds.join(',')})`,
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
  };
  const [pods, policies] = await Promise.all([
    listIfAllowed<Pod>(client, resources.pods, injected, signal),
    listAll(client, resources.tlspolicies, {}, signal),
  ]);
  const now = clock.now();
  if (pods === undefined) terminal.err('You may not list pods: who would hold the rotation up is not known.');
  const certificates = inventory({ secrets: undefined, policies, pods: undefined }, now).filter(
    (entry) => entry.issuer === issuer.metadata.name,
  );
  for (const line of issuerLines(issuer, now)) terminal.out(line);
  const { lines, lagging } = planLines(pods ?? [], certificates.length);
  for (const line of lines) terminal.out(line);
  return lagging > 0 || pods === undefined ? exitCodes.fault : exitCodes.ok;
}
