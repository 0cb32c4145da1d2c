// `tabard authz explain`: which rule decides about a call, and why.
import { isIP } from 'node:net';
import {
  addressesOf,
  askedRules,
  decisionOf,
  type Guard,
  isUnread,
  modeOf,
  protocolOf,
  type Question,
  why,
} from '../authz.ts';
import { authzOptions, callerOf, portOf, portOption, readAuthz, targetOf } from '../authzread.ts';
import { requestOptions, wantedRequest } from '../authzrequest.ts';
import { type Command, exitCodes, type Invocation, textOption, UsageError, wordsOf } from '../command.ts';
import { namespaceOf, namespaceOptions, outputForm, outputOption } from '../options.ts';
import { table } from '../table.ts';

/** See its details. */
export const authzExplainCommand: Command = {
  name: 'authz explain',
  usage:
    'FROM TO --port PORT [--method METHOD] [--path PATH] [--host HOST] [--ip ADDRESS] [-n NAMESPACE] [-o table|json]',
  summary: 'Say whether FROM may call TO, and ask for what, which rule decides, and why',
  details: `FROM is SERVICE, NAMESPACE/SERVICE, a SPIFFE ID, or anonymous for callers that prove no identity; TO is SERVICE or NAMESPACE/SERVICE.
Worked out from TLSPolicies, TLSBaselines, TLSRoles and pods, by the code that the operator and the sidecars use. Rules with ipBlocks are asked with --ip, else with the addresses of FROM's pods.
Where rules ask something of requests, on a port that speaks HTTP, --method, --path, --host, --headers and --claims say which request; without them the answer may be that it depends.
Ends with 1 when the call is denied.`,
  options: {
    ...namespaceOptions,
    ...portOption,
    ...requestOptions,
    ...authzOptions,
    ...outputOption,
    ip: { type: 'string', value: 'ADDRESS', help: 'where the caller comes from' },
  },
  examples: [
    'tabard authz explain shop/web shop/api --port 8080',
    'tabard authz explain shop/web shop/api --port 8080 --method DELETE --path /items/7',
    'tabard authz explain anonymous api --port 9090 --ip 10.0.0.7 -n shop',
  ],
  run: explain,
};

interface Answer {
  readonly policy: string;
  readonly pods: readonly string[];
  readonly mode: string;
  readonly protocol: string;
  readonly address: string;
  /** Also where requests decide. */
  readonly allowed: boolean;
  /** Each request is decided, and none was said. */
  readonly byRequest: boolean;
  readonly rule: string | undefined;
  readonly why: string;
  readonly ifAuditsHeld: 'allowed' | 'denied' | undefined;
  readonly rules: readonly {
    readonly name: string;
    readonly effect: string;
    readonly audit: boolean;
    readonly matches: boolean | 'by request';
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
  const wanted = wantedRequest(options, to.service);
  const addresses = ip === undefined ? addressesOf(from.service) : [ip];
  const questions = addresses.map((address) => ({
    call: { identity: from.identity, address, port },
    request: wanted?.facts,
    now: invocation.clock.now(),
  }));
  const answers = view
    .guards(to)
    .flatMap((guard) => distinct(questions.map((question) => answer(guard, question, view.trustDomain))));
  const allowed = answers.every((each) => each.allowed);
  const asked =
    wanted === undefined ? '' : ` ${wanted.facts.method} ${wanted.facts.path ?? textOption(options, 'path')}`;
  const call = `${from.name} -> ${to.namespace}/${to.service} port ${port}${asked}`;
  const whole = { from: from.identity ?? null, to: to.identity, port, allowed, answers };
  if (form === 'json') terminal.out(JSON.stringify(whole, undefined, 2));
  else {
    terminal.out(answers.map((each) => lines(each, call).join('\n')).join('\n\n'));
    if (wanted?.ambiguous !== undefined)
      terminal.err(
        `The path has no canonical form (${wanted.ambiguous}): Allow rules with paths never match it, Deny rules do.`,
      );
  }
  return allowed ? exitCodes.ok : exitCodes.fault;
}

function answer(guard: Guard, question: Question, trustDomain: string): Answer {
  const { call } = question;
  const decision = decisionOf(guard, question);
  const { rule, wouldBe } = decision ?? {};
  const mode = modeOf(guard, call.port);
  const isUnproved = mode === 'Mutual' && call.identity === undefined;
  return {
    policy: guard.source,
    pods: guard.pods,
    mode,
    protocol: protocolOf(guard, call.port),
    address: call.address,
    allowed: decision?.allowed !== false && !isUnproved,
    byRequest: decision === undefined && !isUnproved,
    rule,
    why: isUnproved
      ? 'mode Mutual refuses callers without an identity, whatever the rules say'
      : reasonOf(guard, question),
    ifAuditsHeld: wouldBe === undefined ? undefined : wouldBe ? 'allowed' : 'denied',
    rules: askedRules(guard, question, trustDomain).map(({ rule: asked, matches }) => ({
      name: asked.name,
      effect: asked.effect,
      audit: asked.audit === true,
      matches,
    })),
  };
}

function reasonOf(guard: Guard, question: Question): string {
  const decision = decisionOf(guard, question);
  if (decision === undefined) return 'rules ask something of requests; say which one with --method, --path and --host';
  const { rule, failed = [] } = decision;
  const condition = rule !== undefined && failed.includes(rule) ? ', because its condition failed' : '';
  const unread = isUnread(guard, question.call.port)
    ? '; the port is not said to speak HTTP, so that rules about requests allow nothing there and deny everything'
    : '';
  return `${why(decision, guard)}${condition}${unread}`;
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
    matches === 'by request' ? matches : matches ? 'yes' : 'no',
  ]);
  return [
    `${answer.byRequest ? 'DEPENDS' : allowed ? 'ALLOWED' : 'DENIED'}: ${call}${from}`,
    `Why: ${answer.why}.`,
    `Policy: ${policy}; mode of the port: ${mode}${note(mode)}; protocol: ${answer.protocol}`,
    ...(ifAuditsHeld === undefined ? [] : [`If rules in audit mode were enforced, it would be ${ifAuditsHeld}.`]),
    ...(shown.length === 0 ? [] : ['', ...table(['RULE', 'EFFECT', 'MATCHES'], shown)]),
  ];
}

function note(mode: string): string {
  return mode === 'Disabled' ? ', so that nobody proves an identity there' : '';
}
