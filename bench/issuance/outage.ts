// The state after an outage: every certificate is long due and expires within a minute or two, each at another moment and in no
// order. The benchmark signs them itself, with the cluster's own CA, as the operator would have some minutes before.
import { secretKeys } from '../../lib/api/contract.ts';
import { resources } from '../../lib/kube/resources.ts';
import { issueLeaf, loadAuthority } from '../../lib/pki/ca.ts';
import { dnsNamesOf } from '../../lib/pki/identity.ts';
import { generateKey, privateKeyPem } from '../../lib/pki/keys.ts';
import { renewalTime } from '../../operator/certificates/schedule.ts';
import { dataOf, secretInput } from '../../operator/certificates/secret.ts';
import { inParallel, type ServiceRef, type World } from './world.ts';

/** Lifetime of the certificates in this state; what is noted as asked for is the policy's, as where a CA cuts it short. */
const lifetimeMs = 300_000;
const askedForMs = 86_400_000;

/** All expire within so long. */
const windowMs = 60_000;
/** Written first to see how fast that goes, and again with all. */
const sample = 200;

/** What an operator takes to start, and then has left: longer for many, and where all is slow. Less than what makes a leaf due. */
const leadMs = { least: 20_000, most: 90_000 } as const;

/**
 * Puts the cluster into that state; resolves some time before the first of them expires, at the moment for an operator to come back. None
 * must run meanwhile.
 */
export async function expireTogether(world: World): Promise<void> {
  const write = await writer(world);
  const startedMs = Date.now();
  const tried = world.services.slice(0, sample);
  await inParallel(tried, (service) => write(service, startedMs + 3_600_000));
  const eachMs = (Date.now() - startedMs) / tried.length;
  const allMs = eachMs * world.services.length;
  const lead = Math.min(leadMs.most, leadMs.least + allMs);
  const fromMs = Date.now() + allMs * 1.3 + lead;
  await inParallel(world.services, (service) => {
    // Every other service of the list expires far from its neighbours.
    const part = ((service.index * 7919) % world.services.length) / world.services.length;
    return write(service, fromMs + windowMs * part);
  });
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, fromMs - lead - Date.now())));
}

/** Writes the certificate of a service that expires at a moment (epoch). */
async function writer(world: World): Promise<(service: ServiceRef, expiresMs: number) => Promise<void>> {
  const { client } = world.connection;
  const ca = await client.get(resources.secrets, { namespace: 'tabard-system', name: 'tabard-ca' });
  const present = loadAuthority(dataOf(ca, secretKeys.certificate), dataOf(ca, secretKeys.key), 'cluster.local');
  // The CA of a benchmark is minutes old; these leaves are to look as if it were older.
  const authority = { ...present, notBefore: new Date(0) };
  const trustBundle = dataOf(ca, secretKeys.trustBundle);
  return async ({ namespace, name }, expiresMs) => {
    const keys = await generateKey('ECDSA-P256');
    const identity = { trustDomain: 'cluster.local', namespace, service: name };
    const names = [{ name, headless: true }];
    const dnsNames = dnsNamesOf({ namespace, clusterDomain: 'cluster.local', services: names, extra: [] });
    const now = new Date(expiresMs - lifetimeMs);
    const leaf = issueLeaf({ authority, identity, dnsNames, publicKey: keys.publicKey, now, lifetimeMs });
    const wanted = {
      issuer: 'cluster',
      uri: '',
      dnsNames,
      key: 'ECDSA-P256',
      lifetimeMs: askedForMs,
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
  };
}
