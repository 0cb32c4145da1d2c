// `tabard certs`: the live certificates of the mesh.
import { injectedKinds, labels, MANAGED_BY } from '../../lib/api/contract.ts';
import { metadataOf, resources } from '../../lib/kube/resources.ts';
import { type Command, exitCodes, type Invocation, textOption, wordsOf } from '../command.ts';
import { inventory, inventoryTable } from '../inventory.ts';
import { listAll, listIfAllowed } from '../list.ts';
import { allNamespacesOption, namespaceOf, namespaceOptions, outputForm, outputOption } from '../options.ts';

/** See its details. */
export const certsCommand: Command = {
  name: 'certs',
  usage: '[-n NAMESPACE | -A] [--issuer NAME] [-o table|wide|json]',
  summary: 'List the live certificates: serial, issuer, age, renewal, expiry, delivery, pods',
  details: `Read from the cluster's own state: the annotations of certificate Secrets (their metadata alone, never their data), what TLSPolicies say of their services, and the labels of pods.
Kubernetes has no right to metadata alone: listing Secrets is the right to read them. Without it the list is made from the status of TLSPolicies, which any viewer may read; services that no policy governs are then missing, and a line says so.
Ends with 1 when a certificate is missing, has expired, or its renewal is overdue.`,
  options: {
    ...namespaceOptions,
    ...allNamespacesOption,
    ...outputOption,
    issuer: { type: 'string', value: 'NAME', help: 'only certificates of this TLSIssuer' },
  },
  examples: ['tabard certs -A', 'tabard certs -n shop -o wide', "tabard certs -A -o json | jq '.[] | select(.fault)'"],
  run: certs,
};

async function certs({ terminal, clock, options, words, cluster, signal }: Invocation) {
  wordsOf(words, []);
  const form = outputForm(options);
  const { client, namespace: ofContext } = cluster();
  const namespace = namespaceOf(options, ofContext);
  const within = namespace === undefined ? {} : { namespace };
  const certificates = { ...within, labelSelector: `${labels.managedBy}=${MANAGED_BY},${labels.service}` };
  const injected = {
    ...within,
    labelSelector: `${labels.injected} in (${injectedKinds.join(',')})`,
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
  };
  const [secrets, policies, pods] = await Promise.all([
    listIfAllowed(client, metadataOf(resources.secrets), certificates, signal),
    listAll(client, resources.tlspolicies, within, signal),
    listIfAllowed(client, metadataOf(resources.pods), injected, signal),
  ]);
  if (secrets === undefined) {
    terminal.err('You may not list Secrets: shown is what TLSPolicies say; services without a policy are missing.');
  }
  const issuer = textOption(options, 'issuer');
  const now = clock.now();
  const all = inventory({ secrets, policies, pods }, now);
  const entries = all.filter((entry) => issuer === undefined || entry.issuer === issuer);
  if (form === 'json') terminal.out(JSON.stringify(entries, undefined, 2));
  else if (entries.length === 0)
    terminal.err(`No certificates ${namespace === undefined ? 'at all' : `in ${namespace}`}.`);
  else {
    const view = { now, wide: form === 'wide', namespaces: namespace === undefined };
    for (const line of inventoryTable(entries, view)) terminal.out(line);
  }
  return entries.some(({ fault }) => fault !== undefined) ? exitCodes.fault : exitCodes.ok;
}
