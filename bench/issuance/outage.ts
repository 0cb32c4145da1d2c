// The state after an outage: every certificate is long due and expires within a minute or two, each at another moment and in no
// order. The benchmark signs them itself, with the cluster's own CA, as the operator would have some minutes before.
import { secretKeys } from '../../lib/api/contract.ts';
import { resources } from '../../lib/kube/resources.ts';
import { issueLeaf, loadAuthority } from '../../lib/pki/ca.ts';
import { dnsNamesOf } from '../../lib/pki/identity.ts';
import { generateKey, privateKeyPem } from '../../lib/pki/keys.ts';
import { renewalTime } from '../../operator/certificates/schedule.ts';
import { dataOf, secretInput } from '../../operator/certificates/secret.ts';
import { inParallel, type World } from './world.ts';

/** Lifetime of the certificates in this state. */
const lifetimeMs = 300_000;

/** Puts the cluster into that state: all expire between `fromMs` and `toMs` (epoch). The operator must not run. */
export async function expireTogether(world: World, fromMs: number, toMs: number): Promise<void> {
  const { client } = world.connection;
  const ca = await client.get(resources.secrets, { namespace: 'tabard-system', name: 'tabard-ca' });
  const present = loadAuthority(dataOf(ca, secretKeys.certificate), dataOf(ca, secretKeys.key), 'cluster.local');
  // The CA of a benchmark is minutes old; these leaves are to look as if it were older.
  const authority = { ...present, notBefore: new Date(0) };
  const trustBundle = dataOf(ca, secretKeys.trustBundle);
  for (let index = 0; index < world.size.namespaces; index += 1) {
    const ref = { namespace: `team-${index}`, name: 'all' };
    await client.patch(resources.tlspolicies, ref, { spec: { certificate: { lifetime: '5m' } } });
  }
  await inParallel(world.services, async (service) => {
    const { namespace, name } = service;
    const keys = await generateKey('ECDSA-P256');
    const identity = { trustDomain: 'cluster.local', namespace, service: name };
    const names = [{ name, headless: true }];
    const dnsNames = dnsNamesOf({ namespace, clusterDomain: 'cluster.local', services: names, extra: [] });
    // Every other service of the list expires far from its neighbours.
    const part = ((service.index * 7919) % world.services.length) / world.services.length;
    const now = new Date(fromMs + (toMs - fromMs) * part - lifetimeMs);
    const leaf = issueLeaf({ authority, identity, dnsNames, publicKey: keys.publicKey, now, lifetimeMs });
    const wanted = {
      issuer: 'cluster',
      uri: '',
      dnsNames,
      key: 'ECDSA-P256',
      lifetimeMs,
      renewAt: 66,
      owners: [],
    } as const;
    const input = secretInput({
      namespace,
      service: name,
      leaf: { ...leaf, chain: leaf.certificate },
      keyPem: privateKeyPem(keys.privateKey),
      trustBundle,
      wanted,
      renewAt: renewalTime(leaf, 66),
      owners: [{ apiVersion: 'apps/v1', kind: 'Deployment', name, uid: `deployment-${name}` }],
    });
    await client.apply(resources.secrets, input, { fieldManager: 'tabard-operator', force: true });
  });
}
