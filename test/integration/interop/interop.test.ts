// Real servers and clients on the certificate folder of a pod without a sidecar, through a renewal and a rotation of the CA. INTEROP_PAGE=1
// (make interop) writes docs/interop.md from what is seen; without it the page must say just that.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { tryRun } from '../../../hack/cluster/run.ts';
import { type Credentials, credentialsIn } from '../../support/interop/clients.ts';
import { currentPage, pageOf, type Step, writePage } from '../../support/interop/page.ts';
import { keystorePassword } from '../../support/interop/secrets.ts';
import { type Service, World } from '../../support/interop/world.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';

const minute = 60_000;
let world: World;
/** Certificates of clients that every server must refuse, with the bundle by which the server itself is known. */
let stranger: Pick<Credentials, 'cert' | 'key'>;
const servers = new Map<string, Map<string, boolean>>();
const clients = new Map<string, Map<string, boolean>>();
const keystores: string[] = [];

beforeAll(async () => {
  world = await World.start();
  const leaf = await testLeaf(await testAuthority(), { service: 'caller' });
  stranger = { cert: leaf.certificate, key: leaf.key };
}, 20 * minute);
afterAll(() => world?.stop(), minute);

const caller = (): Required<Credentials> => credentialsIn(world.folder('caller'));
const all: readonly Service[] = ['web', 'mono', 'caller'];

/** Every server is as it must be, every client reaches every server; noted for the page. */
async function holds(
  step: Step,
  more: { readonly accepts?: readonly Credentials[]; readonly refuses?: readonly Credentials[] } = {},
) {
  const { ca } = caller();
  const faults = await world.settled({
    accepts: [caller(), ...(more.accepts ?? [])],
    refuses: [{ ca }, { ca, ...stranger }, ...(more.refuses ?? [])],
  });
  const wrong = await world.callAll();
  note(servers, world.servers.keys(), step, (name) => !faults.some((each) => each.startsWith(`${name}:`)));
  note(
    clients,
    world.clients.keys(),
    step,
    (name) => ![...wrong.keys()].some((each) => each.startsWith(`${name} -> `)),
  );
  expect({ faults, wrong: Object.fromEntries(wrong) }).toEqual({ faults: [], wrong: {} });
}

/** A step counts as come through when nothing in it failed. */
function note(
  found: Map<string, Map<string, boolean>>,
  names: Iterable<string>,
  step: Step,
  works: (name: string) => boolean,
): void {
  for (const name of names) {
    const row = found.get(name) ?? new Map<string, boolean>();
    row.set(step, (row.get(step) ?? true) && works(name));
    found.set(name, row);
  }
}

describe('real servers and clients', () => {
  test(
    'speak mutual TLS with the files of the folder, and refuse who has no certificate or a stranger’s',
    async () => {
      await holds('start');
    },
    5 * minute,
  );

  test(
    'take up a renewed certificate (cert-manager#1168, autocert#58: the application does not reload)',
    async () => {
      const before = world.now.get('web')?.serial;
      for (const service of all) await world.issue(service, world.first, [world.first]);
      expect(world.now.get('web')?.serial).not.toBe(before);
      await holds('renewal');
    },
    5 * minute,
  );

  test(
    'trust a second CA before anything is signed by it',
    async () => {
      const bundle = [world.first, world.second];
      await world.trust(bundle);
      const next = await testLeaf(world.second, { service: 'caller' });
      await holds('both CAs trusted', { accepts: [{ cert: next.certificate, key: next.key, ca: caller().ca }] });
    },
    5 * minute,
  );

  test(
    'go on while servers have certificates of the new CA and clients of the old',
    async () => {
      for (const service of ['web', 'mono'] as const)
        await world.issue(service, world.second, [world.first, world.second]);
      await holds('new CA signs');
    },
    5 * minute,
  );

  test(
    'go on when clients have them, too, and servers are back on the old: either order works',
    async () => {
      await world.issue('caller', world.second, [world.first, world.second]);
      for (const service of ['web', 'mono'] as const)
        await world.issue(service, world.first, [world.first, world.second]);
      await holds('new CA signs');
    },
    5 * minute,
  );

  test(
    'refuse certificates of the old CA once it is out of the bundle',
    async () => {
      const old = await testLeaf(world.first, { service: 'caller' });
      for (const service of all) await world.issue(service, world.second, [world.first, world.second]);
      await holds('new CA signs');
      await world.trust([world.second]);
      await holds('old CA gone', { refuses: [{ cert: old.certificate, key: old.key, ca: caller().ca }] });
    },
    5 * minute,
  );
});

describe('keystores (cert-manager#2789 #3373 #6783, trust-manager#17, csi-driver#130; no root in the keystore: cert-manager#3428)', () => {
  const stores = ['keystore.p12', 'truststore.p12'] as const;

  test.each(stores)('%s is opened by openssl pkcs12, under its password alone', async (file) => {
    const open = (password: string) =>
      tryRun('openssl', ['pkcs12', '-in', join(world.folder('caller'), file), '-passin', `pass:${password}`, '-nodes']);
    const { code, stdout } = await open(keystorePassword);
    expect(code).toBe(0);
    expect(stdout.split('BEGIN CERTIFICATE').length - 1).toBe(1);
    expect(stdout.includes('BEGIN PRIVATE KEY')).toBe(file === 'keystore.p12');
    expect((await open('other')).code).not.toBe(0);
    keystores.push(`\`${file}\` is opened by \`openssl pkcs12\` (OpenSSL 3) without \`-legacy\``);
  });

  test.each(stores)('%s is listed by keytool as what it is', async (file) => {
    const path = join(world.folder('caller'), file);
    const { code, stdout } = await tryRun('keytool', ['-list', '-keystore', path, '-storepass', keystorePassword]);
    expect({ code, stdout }).toMatchObject({ code: 0 });
    const kind = file === 'keystore.p12' ? 'PrivateKeyEntry' : 'trustedCertEntry';
    expect(stdout).toContain(kind);
    keystores.push(`\`${file}\` is listed by Java's \`keytool\` as a \`${kind}\``);
  });
});

describe('docs/interop.md', () => {
  test('says what was seen', () => {
    const page = pageOf(servers, clients, keystores);
    if (process.env['INTEROP_PAGE'] === '1') writePage(page);
    expect(currentPage()).toBe(page);
  });
});
