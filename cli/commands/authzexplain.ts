// `tabard authz explain`: which rule decides about a call, and why.
import { isIP } from 'node:net';
import { type Call, decide } from '../../lib/api/decide.ts';
import { addressesOf, askedRules, type Guard, modeOf, why } from '../authz.ts';
import { authzOptions, callerOf, portOf, portOption, readAuthz, targetOf } from '../authzread.ts';
import { type Command, exitCodes, type Invocation, textOption, UsageError, wordsOf } from '../command.ts';
import { namespaceOf, namespaceOptions, outputForm, outputOption } from '../options.ts';
import { table } from '../table.ts';

/** See its details. */
export const authzExplainCommand: Command = {
  name: 'authz explain',
  usage: 'FROM TO --port PORT [--ip ADDRESS] [-n NAMESPACE] [-o table|json]',
  summary: 'Say whether FROM may call TO, which rule decides, and why',
  details: `FROM is SERVICE, NAMESPACE/SERVICE, a SPIFFE ID, or anonymous for callers that prove no identity; TO is SERVICE or NAMESPACE/SERVICE.
Worked out from TLSPolicies, TLSBaselines, TLSRoles and pods, by the code that the operator and the sidecars use. Rules with ipBlocks are asked with --ip, else with the addresses of FROM's pods.
Ends with 1 when the call is denied.`,
  options: {
    ...namespaceOptions,
    ...portOption,
    ...authzOptions,
    ...outputOption,
    ip: { type: 'string', value: 'ADDRESS', help: 'where the caller comes from' },
  },
  examples: [
    'tabard authz explain shop/web shop/api --port 8080',
    'tabard authz explain anonymous api --port 9090 --ip 10.0.0.7 -n shop',
  ],
  run: explain,
};

interface Answer {
  readonly policy: string;
  readonly pods: readonly string[];
  readonly mode: string;
  readonly address: string;
  readonly allowed: boolean;
  readonly rule: string | undefined;
  readonly why: string;
  readonly ifAuditsHeld: 'allowed' | 'denied' | undefined;
  readonly rules: readonly {
    readonly name: string;
    readonly effect: string;
    readonly audit: boolean;
    readonly matches: boolean;
  }[];
}

async function explain(invocation: Invocation) {
  const { terminal, options, words, cluster } = invocation;
  const [fromText = '', toText = ''] = wordsOf(words, ['FROM', 'TO']);
  const form = outputForm(options);
  const port = portOf(invocation);
  if (port === undefined) throw new UsageError('--port is missing: the container port that is called');
  const ip = textOption(options, 'ip');
  if (ip !== undefined && isIP(ip) === 0) throw new UsageError(`--ip takes an IP address, not "${ip}"`);
  const namespace = namespaceOf(options, cluster().namespace) ?? 'default';
  const view = await readAuthz(invocation);
  const from = callerOf(fromText, view, namespace);
  const to = targetOf(toText, view, namespace);
  const addresses = ip === undefined ? addressesOf(from.service) : [ip];
  const answers = view
    .guards(to)
    .flatMap((guard) =>
      distinct(addresses.map((address) => answer(guard, { identity: from.identity, address, port }, view.trustDomain))),
    );
  const allowed = answers.every((each) => each.allowed);
  const call = `${from.name} -> ${to.namespace}/${to.service} port ${port}`;
  const whole = { from: from.identity ?? null, to: to.identity, port, allowed, answers };
  if (form === 'json') terminal.out(JSON.stringify(whole, undefined, 2));
  else terminal.out(answers.map((each) => lines(each, call).join('\n')).join('\n\n'));
  return allowed ? exitCodes.ok : exitCodes.fault;
}

function answer(guard: Guard, call: Call, trustDomain: string): Answer {
  const decision = decide(guard.judge, call);
  const { rule, wouldBe } = decision;
  const mode = modeOf(guard, call.port);
  const isUnproved = mode === 'Mutual' && call.identity === undefined;
  return {
    policy: guard.source,
    pods: guard.pods,
    mode,
    address: call.address,
    allowed: decision.allowed && !isUnproved,
    rule,
    why: isUnproved ? 'mode Mutual refuses callers without an identity, whatever the rules say' : why(decision, guard),
    ifAuditsHeld: wouldBe === undefined ? undefined : wouldBe ? 'allowed' : 'denied',
    rules: askedRules(guard, call, trustDomain).map(({ rule: asked, matches }) => ({
      name: asked.name,
      effect: asked.effect,
      audit: asked.audit === true,
      matches,
    })),
  };
}

/** Pods of a caller that come to the same are said once. */
function distinct(answers: readonly Answer[]): readonly Answer[] {
  const said = new Map(answers.map((each) => [JSON.stringify({ ...each, address: '' }), each]));
  return said.size === 1 ? answers.slice(0, 1) : answers;
}

function lines(answer: Answer, call: string): readonly string[] {
  const { allowed, policy, mode, rules, address, ifAuditsHeld } = answer;
  const from = address === '' ? '' : ` (from ${address})`;
  const shown = rules.map(({ name, effect, audit, matches }) => [
    name,
    audit ? `${effect} (audit)` : effect,
    matches ? 'yes' : 'no',
  ]);
  return [
    `${allowed ? 'ALLOWED' : 'DENIED'}: ${call}${from}`,
    `Why: ${answer.why}.`,
    `Policy: ${policy}; mode of the port: ${mode}${note(mode)}`,
    ...(ifAuditsHeld === undefined ? [] : [`If rules in audit mode were enforced, it would be ${ifAuditsHeld}.`]),
    ...(shown.length === 0 ? [] : ['', ...table(['RULE', 'EFFECT', 'MATCHES'], shown)]),
  ];
}

function note(mode: string): string {
  return mode === 'Disabled' ? ', so that nobody proves an identity there' : '';
}
