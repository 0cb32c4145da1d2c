// `tabard authz unused`: rules that nothing has matched for long.
import type { TLSPolicy } from '../../lib/api/tlspolicy.ts';
import { resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, textOption, UsageError, wordsOf } from '../command.ts';
import { listAll } from '../list.ts';
import { allNamespacesOption, namespaceOf, namespaceOptions, outputForm, outputOption } from '../options.ts';
import { span, table } from '../table.ts';

/** See its details. */
export const authzUnusedCommand: Command = {
  name: 'authz unused',
  usage: '[-n NAMESPACE | -A] [--days N] [-o table|json]',
  summary: 'List rules that no call has matched for N days',
  details: `From the status of TLSPolicies, where sidecars have it written when a rule last matched (an Allow rule counts when it decided). A rule that is watched for fewer days than asked for is listed as too new to tell.
Rules of TLSBaselines are not in any status. Ends with 1 when a rule is unused.`,
  options: {
    ...namespaceOptions,
    ...allNamespacesOption,
    ...outputOption,
    days: { type: 'string', value: 'N', help: 'for how many days; else 30' },
  },
  examples: ['tabard authz unused -A --days 90'],
  run: unused,
};

interface Entry {
  readonly namespace: string;
  readonly policy: string;
  readonly rule: string;
  readonly effect: string;
  readonly since: Date | undefined;
  readonly lastHit: Date | undefined;
  readonly verdict: 'unused' | 'too new to tell';
}

const dayMs = 86_400_000;

async function unused({ terminal, clock, options, words, cluster, signal }: Invocation) {
  wordsOf(words, []);
  const form = outputForm(options);
  const days = Number(textOption(options, 'days') ?? '30');
  if (!Number.isInteger(days) || days < 1) throw new UsageError('--days takes a whole number from 1');
  const { client, namespace: ofContext } = cluster();
  const namespace = namespaceOf(options, ofContext);
  const policies = await listAll(client, resources.tlspolicies, namespace === undefined ? {} : { namespace }, signal);
  const now = clock.now();
  const entries = policies.flatMap((policy) => unusedRules(policy, now, days));
  if (form === 'json') terminal.out(JSON.stringify(entries, undefined, 2));
  else if (entries.length === 0) terminal.err('Every rule has matched a call.');
  else for (const line of unusedTable(entries, now)) terminal.out(line);
  return entries.some(({ verdict }) => verdict === 'unused') ? exitCodes.fault : exitCodes.ok;
}

function unusedRules({ metadata, spec, status }: TLSPolicy, now: Date, days: number): readonly Entry[] {
  const oldestMs = now.getTime() - days * dayMs;
  return (spec.authorization?.rules ?? []).flatMap(({ name, effect = 'Allow' }) => {
    const known = status?.rules?.find((each) => each.name === name);
    const since = known === undefined ? undefined : new Date(known.since);
    const lastHit = known?.lastHit === undefined ? undefined : new Date(known.lastHit);
    if (lastHit !== undefined && lastHit.getTime() >= oldestMs) return [];
    const watched = since !== undefined && since.getTime() <= oldestMs;
    const verdict = watched ? ('unused' as const) : ('too new to tell' as const);
    return [
      { namespace: metadata.namespace ?? '', policy: metadata.name, rule: name, effect, since, lastHit, verdict },
    ];
  });
}

function unusedTable(entries: readonly Entry[], now: Date): readonly string[] {
  const ago = (at: Date | undefined): string => (at === undefined ? '-' : span(now.getTime() - at.getTime()));
  const head = ['NAMESPACE', 'POLICY', 'RULE', 'EFFECT', 'WATCHED FOR', 'LAST HIT', 'VERDICT'];
  return table(
    head,
    entries.map(({ namespace, policy, rule, effect, since, lastHit, verdict }) => [
      namespace,
      policy,
      rule,
      effect,
      ago(since),
      ago(lastHit),
      verdict,
    ]),
  );
}
