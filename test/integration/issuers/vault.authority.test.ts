// Issuer `vault` while somebody changes the CA of the engine: what is used, what is trusted, and in which order.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { annotations } from '../../../lib/api/contract.ts';
import type { TLSIssuerStatus } from '../../../lib/api/tlsissuer.ts';
import { parseCertificates } from '../../../lib/pki/bundle.ts';
import { authorityKeyIdOf } from '../../../lib/pki/x509.ts';
import type { SignedLeaf } from '../../../operator/issuers/issuer.ts';
import { createVaultIssuer } from '../../../operator/issuers/vault/issuer.ts';
import { eventually, RemoteIssuerBench } from '../../support/remoteissuer.ts';
import { meshRole, mountPki, newRoot, startVault, type TestVault } from '../../support/vault.ts';

jest.setTimeout(180_000);

let vault: TestVault;
let mount: string;
let token: string;
const benches: RemoteIssuerBench[] = [];

beforeAll(async () => {
  vault = await startVault();
}, 1_200_000);

afterAll(() => vault.stop());

let mounts = 0;

beforeEach(async () => {
  await vault.clear();
  token = vault.rootToken;
  mounts += 1;
  mount = `pki-${mounts}`;
  await mountPki(vault, mount);
});

afterEach(async () => {
  for (const bench of benches.splice(0)) await bench.stop();
});

function start(status?: TLSIssuerStatus, distrusted: readonly string[] = [], checkMs = 300): RemoteIssuerBench {
  const credentials = {
    secretValue: () => token,
    serviceAccountToken: () => Promise.reject(new Error('not in these tests')),
  };
  const { address: server, caBundle } = vault;
  const auth = { tokenSecretRef: { name: 'vault-token', key: 'token' } };
  const spec = { server, caBundle, path: mount, role: 'mesh', auth };
  const bench = new RemoteIssuerBench(
    { vault: spec },
    (object, deps) => createVaultIssuer(object, { ...deps, credentials, checkMs }),
    status,
  );
  for (const each of distrusted) bench.distrusted.add(each);
  benches.push(bench);
  return bench;
}

/** Roles of the CAs, in order, as status lists them. */
function roles({ state }: RemoteIssuerBench): readonly string[] {
  return state.ready ? (state.authorities ?? []).map(({ role }) => role) : [];
}

function trusted({ state }: RemoteIssuerBench): readonly string[] {
  return state.ready ? parseCertificates(state.trustBundle).map(({ subject }) => subject ?? '') : [];
}

async function untilRoles(bench: RemoteIssuerBench, wanted: readonly string[]): Promise<void> {
  await eventually(
    () => roles(bench).join(' ') === wanted.join(' '),
    () => `${wanted.join(' ')} was expected: ${JSON.stringify(bench.state)}`,
  );
}

async function fingerprintOf(issuer: string): Promise<string> {
  const answer = await vault.admin('GET', `${mount}/issuer/${issuer}/json`);
  const { certificate } = answer['data'] as { readonly certificate: string };
  return parseCertificates(certificate)[0]?.fingerprint256.replaceAll(':', '').toLowerCase() ?? '';
}

/** Subject of the CA that signed a leaf. */
function signer({ chain }: SignedLeaf): string {
  return parseCertificates(chain)[0]?.issuer ?? '';
}

describe('the first CA', () => {
  test('is announced, and signs once every peer trusts it', async () => {
    const bench = start(undefined, [await fingerprintOf('default')]);
    await untilRoles(bench, ['Next']);
    expect(trusted(bench)).toEqual(['CN=Root']);
    const { reason, message } = await bench.refusal();
    expect(reason).toBe('AuthorityChanging');
    expect(message).toContain('shop/web-1');
    expect((await vault.log()).filter(({ path }) => path.includes('sign'))).toEqual([]);
    bench.distrusted.clear();
    await untilRoles(bench, ['Active']);
    expect((await bench.refusal()).reason).toBe('signed');
  });
});

describe('a CA that was replaced upstream', () => {
  test('is used once every peer trusts it; until then Vault signs with the one before', async () => {
    const bench = start();
    await untilRoles(bench, ['Active']);
    const before = await bench.sign();
    const issuer = await newRoot(vault, mount, 'Second root');
    bench.distrusted.add(await fingerprintOf(issuer));
    bench.unmoved = ['shop/web: its Secret holds a certificate of the former CA'];
    await untilRoles(bench, ['Active', 'Next']);
    expect(trusted(bench)).toEqual(['CN=Root', 'CN=Second root']);
    expect(signer(await bench.sign())).toBe('CN=Root');
    expect(bench.state).toMatchObject({ rotation: { phase: 'Prepared', waitingCount: 1 } });

    bench.distrusted.clear();
    await untilRoles(bench, ['Active', 'Retiring']);
    const after = await bench.sign();
    expect(signer(after)).toBe('CN=Second root');
    // Leaves of the first are stale now, by key id and not by name.
    const { state } = bench;
    const keyIds = [before, after].map(({ chain }) =>
      authorityKeyIdOf(parseCertificates(chain)[0]?.raw ?? Buffer.of()),
    );
    expect(state.ready && keyIds.map((each) => each === state.keyId)).toEqual([false, true]);
    expect(trusted(bench)).toEqual(['CN=Second root', 'CN=Root']);

    // Out of the bundle, and named as gone until every peer has it out of his: connections end in their own time.
    bench.trusting = ['shop/web-1: still trusts the former CA'];
    bench.unmoved = [];
    await eventually(
      () => !trusted(bench).includes('CN=Root'),
      () => JSON.stringify(bench.state),
    );
    expect(bench.state).toMatchObject({ rotation: { phase: 'Retiring' }, authorities: [{}, { role: 'Retiring' }] });
    bench.trusting = [];
    await untilRoles(bench, ['Active']);
    expect(trusted(bench)).toEqual(['CN=Second root']);
    expect(bench.state).toMatchObject({ rotation: { phase: 'Idle' } });
  });

  test('is not used by accident where the policy does not let us choose: the order waits, and nothing is written', async () => {
    await vault.admin('POST', `sys/policies/acl/${mount}`, {
      policy: JSON.stringify({ path: { [`${mount}/sign/mesh`]: { capabilities: ['update'] } } }),
    });
    const { auth } = await vault.admin('POST', 'auth/token/create', { policies: [mount] });
    token = (auth as { readonly client_token: string }).client_token;
    const bench = start();
    await untilRoles(bench, ['Active']);
    bench.distrusted.add(await fingerprintOf(await newRoot(vault, mount, 'Second root')));
    await untilRoles(bench, ['Active', 'Next']);
    expect((await bench.refusal()).reason).toBe('AuthorityChanging');
    bench.distrusted.clear();
    await untilRoles(bench, ['Active']);
    expect((await bench.refusal()).reason).toBe('signed');
  });

  test('between two looks is noticed by the order, which is refused and looked into at once', async () => {
    const bench = start(undefined, [], 3_600_000);
    await untilRoles(bench, ['Active']);
    bench.distrusted.add(await fingerprintOf(await newRoot(vault, mount, 'Second root')));
    // Unknown to us until then: the chain leads to no CA of the bundle.
    expect((await bench.refusal()).reason).toBe('CertificateNotAsAsked');
    await untilRoles(bench, ['Active', 'Next']);
  });

  test('and put back before anybody moved, leaves things as they were', async () => {
    const bench = start();
    await untilRoles(bench, ['Active']);
    const first = (await vault.admin('GET', `${mount}/config/issuers`))['data'] as { readonly default: string };
    bench.distrusted.add(await fingerprintOf(await newRoot(vault, mount, 'Second root')));
    await untilRoles(bench, ['Active', 'Next']);
    await vault.admin('POST', `${mount}/config/issuers`, { default: first.default });
    await untilRoles(bench, ['Active']);
    expect(trusted(bench)).toEqual(['CN=Root']);
  });

  test('while the operator was away is staged by the one that takes over, from what status says', async () => {
    const first = start();
    await untilRoles(first, ['Active']);
    const { state } = first;
    if (!state.ready || state.authorities === undefined) throw new Error('it is not ready');
    const status: TLSIssuerStatus = { trustBundle: state.trustBundle, authorities: state.authorities };
    await first.stop();
    const issuer = await newRoot(vault, mount, 'Second root');
    const second = start(status, [await fingerprintOf(issuer)]);
    await untilRoles(second, ['Active', 'Next']);
    expect(trusted(second)).toEqual(['CN=Root', 'CN=Second root']);
    second.unmoved = ['shop/web: old'];
    second.distrusted.clear();
    await untilRoles(second, ['Active', 'Retiring']);
    second.unmoved = [];
    await untilRoles(second, ['Active']);
    expect(trusted(second)).toEqual(['CN=Second root']);
  });

  test('(distrust now) is out of the bundle at once, and nothing is signed until Vault has another', async () => {
    const bench = start();
    await untilRoles(bench, ['Active']);
    const bad = await fingerprintOf('default');
    bench.annotations = { [annotations.distrustNow]: bad };
    await bench.until('AuthorityUnusable');
    expect((await bench.refusal()).reason).toBe('AuthorityChanging');
    await newRoot(vault, mount, 'Second root');
    await bench.until('ready');
    expect(trusted(bench)).toEqual(['CN=Second root']);
    expect(signer(await bench.sign())).toBe('CN=Second root');
  });

  test('by the role alone is followed where the token may read the role', async () => {
    const bench = start();
    await untilRoles(bench, ['Active']);
    const { default: first } = (await vault.admin('GET', `${mount}/config/issuers`))['data'] as { default: string };
    const second = await newRoot(vault, mount, 'Second root');
    await vault.admin('POST', `${mount}/config/issuers`, { default: first });
    await vault.admin('POST', `${mount}/roles/mesh`, { ...meshRole, issuer_ref: second });
    await eventually(
      () => trusted(bench).includes('CN=Second root'),
      () => JSON.stringify(bench.state),
    );
    expect(signer(await bench.sign())).toBe('CN=Second root');
  });
});
