// `tabard authz suggest`: the rules that a policy needs by what was seen.
import { readable } from '../../lib/api/readable.ts';
import { resources } from '../../lib/kube/resources.ts';
import { protocolOf } from '../authz.ts';
import { authzOptions, readAuthz, targetOf } from '../authzread.ts';
import { type Command, exitCodes, type Invocation, UsageError, wordsOf } from '../command.ts';
import { firstPolicy, seenOf } from '../firstpolicy.ts';
import { listAll } from '../list.ts';
import { namespaceOf, namespaceOptions } from '../options.ts';
import { suggest } from '../suggest.ts';

/** See its details. */
export const authzSuggestCommand: Command = {
  name: 'authz suggest',
  usage: 'TO [-n NAMESPACE]',
  summary: 'Write the least-privilege policy that lets in who was seen to call TO, and nobody else',
  details: `TO is SERVICE or NAMESPACE/SERVICE. The sidecars of TO have noted in the status of its TLSPolicy (callers, callersSince) who was let in on which port. The policy is printed as it stands with an Allow rule for each of these callers; its Deny rules stay, its other Allow rules go.
Callers are not generalised: each is named by its service and namespace, one of another trust domain by its SPIFFE ID, and never by a namespace, a pattern or an address.
On ports whose requests are read (for rules about them, http.accessLog: All or fields in headers), methods, hosts and paths were noted, too (requests, requestsSince), and rules name just these. Numbers, UUIDs, tokens and the like are never noted: from there on a path is /*, which is the one pattern that rules have. Queries and headers are not noted.
With less than a week of notes, rules for a policy that lets everybody in come in audit mode. For a service that no TLSPolicy governs, a first policy is written, from what stands in ConfigMap tabard-callers-SERVICE beside it. Nothing is changed in the cluster. Ends with 1 when there is nothing to suggest.`,
  options: { ...namespaceOptions, ...authzOptions },
  examples: ['tabard authz suggest shop/api > policy.yaml', 'tabard authz suggest api -n shop | kubectl diff -f -'],
  run: suggestPolicy,
};

async function suggestPolicy(invocation: Invocation) {
  const { terminal, clock, options, words, cluster, signal } = invocation;
  const [text = ''] = wordsOf(words, ['TO']);
  const { client, namespace: ofContext } = cluster();
  const view = await readAuthz(invocation);
  const to = targetOf(text, view, namespaceOf(options, ofContext) ?? 'default');
  const sources = view.guards(to).map(({ source }) => source);
  if (sources.length > 1)
    throw new UsageError(`pods of ${to.service} are governed by different policies: ${sources.join(', ')}`);
  const policies = await listAll(client, resources.tlspolicies, { namespace: to.namespace }, signal);
  const governing = policies.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === sources[0]);
  const policy = governing ?? firstPolicy(to, view, await seenOf(to, invocation));
  if (policy === undefined) {
    terminal.err(
      `No TLSPolicy governs ${to.namespace}/${to.service}, so nothing was noted. Apply one without rules, and ask again later.`,
    );
    return exitCodes.fault;
  }
  const isThere = (namespace: string, service: string): boolean => view.find(namespace, service) !== undefined;
  const suggestion = suggest({
    policy,
    trustDomain: view.trustDomain,
    now: clock.now(),
    isThere,
    isRead: (port) => view.guards(to).every((guard) => readable.has(protocolOf(guard, port))),
  });
  if (suggestion === undefined) {
    const since = policy.status?.callersSince ?? 'it is there';
    terminal.err(`No caller with an identity was let in since ${since}; there is nothing to suggest.`);
    return exitCodes.fault;
  }
  for (const warning of suggestion.warnings) terminal.err(`Warning: ${warning}.`);
  for (const line of suggestion.policy) terminal.out(line);
  return exitCodes.ok;
}
