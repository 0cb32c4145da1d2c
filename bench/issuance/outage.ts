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

/**
 * Puts the cluster into that state; resolves when the first of them expires in `leadMs`: the moment for an operator to come back. None must
 * run meanwhile.
 */
export async function expireTogether(world: World, leadMs: number): Promise<void> {
  const write = await writer(world);
  const startedMs = Date.now();
  const tried = world.services.slice(0, sample);
  await inParallel(tried, (service) => write(service, startedMs + 3_600_000));
  const eachMs = (Date.now() - startedMs) / tried.length;
  const fromMs = Date.now() + eachMs * world.services.length * 1.3 + leadMs;
  await inParallel(world.services, (service) => {
    // Every other service of the list expires far from its neighbours.
    const part = ((service.index * 7919) % world.services.length) / world.services.length;
    return write(service, fromMs + windowMs * part);
  });
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, fromMs - leadMs - Date.now())));
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
