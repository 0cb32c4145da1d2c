// `tabard authz who-can` and `tabard authz matrix`: who may call a service, and who may call whom.
import { type AuthzView, addressesOf, type Guard, portsFor, type Question, type ServicePods } from '../authz.ts';
import { authzOptions, readAuthz, targetOf } from '../authzread.ts';
import { requestOptions, wantedRequest } from '../authzrequest.ts';
import { type Command, exitCodes, type Invocation, wordsOf } from '../command.ts';
import { allNamespacesOption, namespaceOf, namespaceOptions, outputForm, outputOption } from '../options.ts';
import { table } from '../table.ts';

/** See its details. */
export const authzWhoCanCommand: Command = {
  name: 'authz who-can',
  usage: 'TO [--method METHOD] [--path PATH] [--host HOST] [-n NAMESPACE] [-o table|json]',
  summary: 'List who may call TO, on which ports',
  details: `TO is SERVICE or NAMESPACE/SERVICE. Callers are all services with injected pods, and callers that prove no identity: those are refused by mode Mutual whatever rules say.
Where the answer hangs on the address of a pod, ports that any of the caller's pods may use are named. A star behind a port: for some requests; with --method, --path, --host, --headers or --claims the answer is for that request.`,
  options: { ...namespaceOptions, ...requestOptions, ...authzOptions, ...outputOption },
  examples: ['tabard authz who-can shop/api', 'tabard authz who-can shop/api --method DELETE --path /items/7'],
  run: whoCan,
};

/** See its details. */
export const authzMatrixCommand: Command = {
  name: 'authz matrix',
  usage: '[--method METHOD] [--path PATH] [--host HOST] [-n NAMESPACE | -A] [-o table|json]',
  summary: 'Show who may call whom, on which ports',
  details: `Rows are callers, columns what is called: the services of the namespace, or of all with -A. In a cell: all, - for nothing, or ports; with a star where it is for some requests; with --method, --path, --host, --headers or --claims it is for that request.`,
  options: { ...namespaceOptions, ...allNamespacesOption, ...requestOptions, ...authzOptions, ...outputOption },
  examples: ['tabard authz matrix -n shop', 'tabard authz matrix -A -o json | jq \'.[] | select(.ports != "-")\''],
  run: matrix,
};

const nobody = '(no identity)';

/** What a caller may do at a service; `-` = nothing. */
interface Grant {
  readonly from: string;
  readonly to: string;
  readonly ports: string;
}

async function whoCan(invocation: Invocation) {
  const { terminal, options, words, cluster } = invocation;
  const [text = ''] = wordsOf(words, ['TO']);
  const form = outputForm(options);
  const namespace = namespaceOf(options, cluster().namespace) ?? 'default';
  const view = await readAuthz(invocation);
  const to = targetOf(text, view, namespace);
  const asked = questionOf(invocation, to);
  const grants = [...view.services, undefined]
    .map((from) => grant(view, from, to, asked))
    .filter(({ ports }) => ports !== '-');
  if (form === 'json') terminal.out(JSON.stringify(grants, undefined, 2));
  else if (grants.length === 0) terminal.err(`Nobody may call ${nameOf(to)}.`);
  else
    for (const line of table(
      ['FROM', 'PORTS'],
      grants.map(({ from, ports }) => [from, ports]),
    ))
      terminal.out(line);
  return exitCodes.ok;
}

async function matrix(invocation: Invocation) {
  const { terminal, options, words, cluster } = invocation;
  wordsOf(words, []);
  const form = outputForm(options);
  const namespace = namespaceOf(options, cluster().namespace);
  const view = await readAuthz(invocation);
  const targets = view.services.filter((each) => namespace === undefined || each.namespace === namespace);
  const rows = [...view.services, undefined].map((from) =>
    targets.map((to) => grant(view, from, to, questionOf(invocation, to))),
  );
  if (form === 'json') terminal.out(JSON.stringify(rows.flat(), undefined, 2));
  else if (targets.length === 0) terminal.err('There are no injected pods.');
  else {
    const cells = rows.map((grants) => [grants[0]?.from ?? '', ...grants.map(({ ports }) => ports)]);
    for (const line of table(['FROM \\ TO', ...targets.map(nameOf)], cells)) terminal.out(line);
  }
  return exitCodes.ok;
}

type Asked = Pick<Question, 'request' | 'now'>;

/** The request that was said, to this service if to no other host. */
function questionOf({ options, clock }: Invocation, to: ServicePods): Asked {
  return { request: wantedRequest(options, to.service)?.facts, now: clock.now() };
}

function grant(view: AuthzView, from: ServicePods | undefined, to: ServicePods, asked: Asked): Grant {
  const found = new Set(
    view
      .guards(to)
      .flatMap((guard) => addressesOf(from).map((address) => portsOf(guard, from?.identity, address, asked))),
  );
  const ports = found.size > 1 ? [...found].filter((each) => each !== '-') : [...found];
  return { from: from === undefined ? nobody : nameOf(from), to: nameOf(to), ports: ports.join(' or ') };
}

/** Callers without an identity get nowhere in mode Mutual. */
function portsOf(guard: Guard, identity: string | undefined, address: string, asked: Asked): string {
  const { mode, ports } = guard.effective;
  const isMutual =
    mode === 'Mutual' && ports.every((each) => each.mode === 'Mutual' && each.protocol !== 'Passthrough');
  return identity === undefined && isMutual ? '-' : portsFor(guard, { identity, address }, asked);
}

function nameOf({ namespace, service }: ServicePods): string {
  return `${namespace}/${service}`;
}
