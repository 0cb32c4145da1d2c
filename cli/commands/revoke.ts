// `tabard revoke`: makes a TLSRevocation, and waits, if wanted, until every sidecar enforces it.
import type { TLSRevocation, TLSRevocationSpec } from '../../lib/api/tlsrevocation.ts';
import { parseDuration } from '../../lib/clock.ts';
import { isKube } from '../../lib/kube/errors.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, textOption, UsageError, wordsOf } from '../command.ts';
import { namespaceOf, namespaceOptions } from '../options.ts';
import { enforcedText, isEnforced, reasonOf, revocationName, targetSpec, untilOf } from '../revocations.ts';

/** See its details. */
export const revokeCommand: Command = {
  name: 'revoke',
  usage: 'identity|serial|pod WHAT --reason REASON [--until WHEN] [--comment TEXT] [--wait [--timeout 60s]]',
  summary: 'Revoke an identity, a certificate or a pod, everywhere and on live connections',
  details: `Makes a TLSRevocation. A revoked identity (spiffe://…) gets no certificate until it is lifted. A revoked serial or pod gets a fresh certificate with a new key, so that the service lives on; pods of one service share a serial.
REASON is a name of RFC 5280: unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold, privilegeWithdrawn, aACompromise. WHEN is a duration (8h) or a time (2026-12-31T00:00:00Z); without it the revocation holds until \`tabard unrevoke\`.
With --wait it prints how many sidecars enforce it until all do, and ends with 1, naming those that lag, when that takes longer than --timeout.`,
  options: {
    ...namespaceOptions,
    reason: { type: 'string', value: 'REASON', help: 'why, by the names of RFC 5280' },
    until: { type: 'string', value: 'WHEN', help: 'when it ends: a duration or a time' },
    comment: { type: 'string', value: 'TEXT', help: 'for people' },
    wait: { type: 'boolean', help: 'wait until all sidecars enforce it' },
    timeout: { type: 'string', value: 'DURATION', help: 'how long to wait; 60s unless stated' },
  },
  examples: [
    'tabard revoke pod shop/web-7d4b9c-x2x8f --reason keyCompromise --wait',
    'tabard revoke identity spiffe://cluster.local/ns/shop/svc/web --reason privilegeWithdrawn --until 8h',
  ],
  run: revoke,
};

const pollMs = 250;

async function revoke(invocation: Invocation) {
  const { terminal, clock, options, words, cluster, signal } = invocation;
  const [target = '', what = ''] = wordsOf(words, ['identity, serial or pod', 'WHAT']);
  const reason = textOption(options, 'reason');
  if (reason === undefined) throw new UsageError('state why: --reason keyCompromise, say');
  const until = textOption(options, 'until');
  const comment = textOption(options, 'comment');
  const timeoutMs = parseDuration(textOption(options, 'timeout') ?? '60s');
  // Everything that can be wrong with the line is found before the cluster is asked.
  targetSpec(target, what, 'default');
  const details = {
    reason: reasonOf(reason),
    ...(until === undefined ? {} : { until: untilOf(until, clock.now()) }),
    ...(comment === undefined ? {} : { comment }),
  };
  const { client, namespace: ofContext } = cluster();
  const subject = targetSpec(target, what, namespaceOf(options, ofContext) ?? 'default');
  const spec: TLSRevocationSpec = { ...(await pinned(invocation, subject)), ...details };
  const name = revocationName(subject);
  let made: TLSRevocation;
  try {
    made = await client.create(
      resources.tlsrevocations,
      { metadata: { name }, spec },
      { signal, fieldManager: 'tabard-cli' },
    );
  } catch (error) {
    if (!isKube(error, 'AlreadyExists')) throw error;
    terminal.err(
      `That is revoked already, by TLSRevocation "${name}"; lift it with \`tabard unrevoke ${name}\` first.`,
    );
    return exitCodes.fault;
  }
  terminal.out(`Revoked: TLSRevocation "${made.metadata.name}". Lift it with \`tabard unrevoke ${name}\`.`);
  return options['wait'] === true ? await enforced(invocation, name, timeoutMs) : exitCodes.ok;
}

/** A pod of the same name may come back: the revocation means the one that is there now. */
async function pinned(
  { cluster, signal }: Invocation,
  subject: ReturnType<typeof targetSpec>,
): Promise<typeof subject> {
  if (subject.pod === undefined) return subject;
  const { namespace, name } = subject.pod;
  const pod = await cluster().client.get(resources.pods, { namespace, name }, { signal });
  return { pod: { namespace, name, uid: pod.metadata.uid } };
}

async function enforced({ terminal, clock, cluster, signal }: Invocation, name: string, timeoutMs: number) {
  const { client } = cluster();
  const untilMs = clock.now().getTime() + timeoutMs;
  for (let said = ''; ; ) {
    const revocation = await client.get(resources.tlsrevocations, { name }, { signal });
    const text = enforcedText(revocation);
    if (text !== said && text !== '-') terminal.err(`enforced by ${text.replace('/', ' of ')} sidecars`);
    said = text;
    if (isEnforced(revocation)) {
      terminal.out(`Enforced by ${text.replace('/', ' of ')} sidecars.`);
      return exitCodes.ok;
    }
    if (clock.now().getTime() >= untilMs) {
      const lagging = revocation.status?.lagging ?? [];
      const who = lagging.length > 0 ? `; it waits for ${lagging.join(', ')}` : '; is the operator running?';
      terminal.err(
        `Not enforced everywhere yet (${text})${who}. The revocation stands; look again with \`tabard revocations\`.`,
      );
      return exitCodes.fault;
    }
    await clock.sleep(pollMs, signal);
  }
}
