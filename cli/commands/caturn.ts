// `tabard ca pause`, `resume` and `undo`: a rotation that is under way.
import { annotations, names } from '../../lib/api/contract.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, textOption, wordsOf } from '../command.ts';
import { waitingLines } from '../issuers.ts';

/** See its details. */
export const caPauseCommand: Command = {
  name: 'ca pause',
  usage: '[ISSUER]',
  summary: 'Hold the rotation of an issuer where it is',
  details:
    'ISSUER is cluster unless stated. Sets spec.rotation.paused: no further step is taken, neither of a rotation under way nor of a later one, until `tabard ca resume`. Certificates are still issued and renewed. An expired CA does not wait for you: nothing is left then that waiting could save.',
  options: {},
  examples: ['tabard ca pause'],
  run: (invocation) => paused(invocation, true),
};

/** See its details. */
export const caResumeCommand: Command = {
  name: 'ca resume',
  usage: '[ISSUER]',
  summary: 'Let the rotation of an issuer go on',
  details: 'ISSUER is cluster unless stated. Takes back `tabard ca pause`.',
  options: {},
  examples: ['tabard ca resume'],
  run: (invocation) => paused(invocation, false),
};

/** See its details. */
export const caUndoCommand: Command = {
  name: 'ca undo',
  usage: '[ISSUER] [--reason TEXT]',
  summary: 'Take a rotation back to the CA before',
  details:
    'ISSUER is cluster unless stated. Possible until the old CA has left the bundle (phases Prepared and Active): the CA before signs again, and certificates of the new one are replaced. No connection breaks. Ends with 1 when there is nothing to take back.',
  options: {
    reason: { type: 'string', value: 'TEXT', help: 'why; each text acts once; the present time unless stated' },
  },
  examples: ['tabard ca undo --reason "clients without the new root"'],
  run: undo,
};

async function paused({ terminal, words, cluster, signal }: Invocation, isPaused: boolean) {
  const [name = names.defaultIssuer] = wordsOf(words, ['ISSUER'], 1);
  const { client } = cluster();
  const patch = { spec: { rotation: { paused: isPaused } } };
  const issuer = await client.patch(resources.tlsissuers, { name }, patch, { signal, fieldManager: 'tabard-cli' });
  const phase = issuer.status?.rotation?.phase ?? 'Idle';
  terminal.out(`Rotations of issuer "${name}" are ${isPaused ? 'paused' : 'free to go on'} (now ${phase}).`);
  for (const line of waitingLines(issuer)) terminal.out(line);
  return exitCodes.ok;
}

async function undo({ terminal, clock, options, words, cluster, signal }: Invocation) {
  const [name = names.defaultIssuer] = wordsOf(words, ['ISSUER'], 1);
  const { client } = cluster();
  const issuer = await client.get(resources.tlsissuers, { name }, { signal });
  const phase = issuer.status?.rotation?.phase ?? 'Idle';
  if (phase !== 'Prepared' && phase !== 'Active') {
    const why =
      phase === 'Retiring' ? 'the former CA has left the bundle: rotate again instead' : 'no rotation is under way';
    terminal.err(`There is nothing to take back: ${why}.`);
    return exitCodes.fault;
  }
  const reason = textOption(options, 'reason')?.trim() || `undone at ${clock.now().toISOString()}`;
  const patch = { metadata: { annotations: { [annotations.undoRotation]: reason } } };
  await client.patch(resources.tlsissuers, { name }, patch, { signal, fieldManager: 'tabard-cli' });
  terminal.out(
    `Taking the rotation of issuer "${name}" back from ${phase} is asked for. Follow it with \`tabard ca status\`.`,
  );
  return exitCodes.ok;
}
