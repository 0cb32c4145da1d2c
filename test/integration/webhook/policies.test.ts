// Policies under a real API server and the webhook's own process: what is refused when it is applied, in which words kubectl shows it, what is only
// warned of, and that a webhook that is away holds nobody back.
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { signingKey } from '../../support/tokens.ts';
import { eventually, type Replica, startWebhookCluster, type WebhookCluster } from '../../support/webhookcluster.ts';

// Each test starts processes, beside whatever else this machine does.
jest.setTimeout(120_000);

let cluster: WebhookCluster;
let replica: Replica;

beforeAll(async () => {
  cluster = await startWebhookCluster();
  const crds = ['tlspolicies', 'tlsbaselines', 'tlsroles'].map((plural) => `crd/${plural}.tabard.dev`);
  await cluster.plane.kubectl(['wait', '--for=condition=Established', ...crds]);
  replica = await cluster.startReplica();
  await cluster.untilReady();
  // Asked from here on: the API server hears of the configuration in its own time.
  await eventually('a condition that is none is refused', async () =>
    (await applied(policy('{name: a, when: "("}'))).includes('policies.tabard.dev'),
  );
}, 900_000);

afterAll(async () => {
  await cluster?.stop();
}, 60_000);

const object = (kind: string, spec: string, name = 'tried') =>
  `{apiVersion: tabard.dev/v1alpha1, kind: ${kind}, metadata: {name: ${name}${kind === 'TLSPolicy' ? ', namespace: default' : ''}}, spec: ${spec}}`;
const policy = (rules: string, rest = ''): string => object('TLSPolicy', `{authorization: {rules: [${rules}]}${rest}}`);
const baseline = (rules: string, name?: string): string =>
  object('TLSBaseline', `{authorization: {rules: [${rules}]}}`, name);
const withKeys = (jwks: string): string =>
  object('TLSPolicy', `{authentication: {jwt: [{issuer: "https://i", jwks: ${JSON.stringify(jwks)}}]}}`);

/** What kubectl says of an object once that holds these words: a webhook that takes its time on a busy machine is passed over. */
async function saying(words: string, input: string): Promise<string> {
  let said = '';
  await eventually(`"${words}" is said`, async () => (said = await applied(input)).includes(words)).catch(
    () => undefined,
  );
  return said;
}

/** What kubectl says of an object; warnings are on lines of their own. */
async function applied(input: string, ...args: readonly string[]): Promise<string> {
  const flags = args.length === 0 ? ['--dry-run=server', '--warnings-as-errors'] : args;
  return cluster.plane.kubectl(['apply', ...flags, '-f', '-'], { input }).catch((error: unknown) => String(error));
}

describe('refused by the word of the operator itself, with the field and what to do,', () => {
  const privateKey = JSON.stringify({ keys: [signingKey('one').privateKey.export({ format: 'jwk' })] });

  test.each<readonly [string, string, string, string]>([
    [
      'is a condition that does not parse',
      policy('{name: a, when: "1 +"}'),
      'spec.authorization.rules[0].when: "a" has a condition that cannot be used: line 1, column 4',
      'CEL over source, destination, request and now',
    ],
    [
      'is a condition on a variable that is none',
      policy('{name: a, when: \'reqest.path == "/"\'}'),
      'spec.authorization.rules[0].when: "a" has a condition that cannot be used: line 1, column 1: Unknown variable: reqest',
      'docs/authorization.md',
    ],
    [
      'is a condition of the wrong type',
      policy('{name: a}, {name: b, when: "request.path + 1 == 2"}'),
      'spec.authorization.rules[1].when: "b" has a condition that cannot be used: line 1, column 1',
      'nothing was changed',
    ],
    [
      'is a condition that comes to a text',
      policy('{name: a, when: "request.path"}'),
      'it comes to string, not to true or false',
      'it allows nothing',
    ],
    [
      'is a condition that may cost too much',
      policy(`{name: a, when: '${Array.from({ length: 120 }, () => 'request.path == "x"').join(' || ')}'}`),
      'spec.authorization.rules[0].when',
      'maxAstNodes',
    ],
    [
      'is a function that may not be used',
      policy('{name: a, effect: Deny, when: \'request.path.matches("a+")\'}'),
      'matches() cannot be used here',
      'it denies without regard to that',
    ],
    [
      'is a key set that is none',
      withKeys('{"keys": "x"}'),
      'spec.authentication.jwt[0].jwks: it is not {"keys": [...]} in JSON',
      'public keys of the issuer',
    ],
    [
      'is a key set with a private key',
      withKeys(privateKey),
      'it holds a private key',
      'no token of "https://i" is accepted',
    ],
    [
      'is an address range that only looks like one',
      policy('{name: a, from: [{ipBlocks: ["fd00:::/8"]}]}'),
      'spec.authorization.rules[0].from: "a" names "fd00:::/8", which is no CIDR',
      'such as 10.0.0.0/8 or fd00::/8',
    ],
    [
      'is a rule of a baseline',
      baseline('{name: a, when: "nobody", to: [{ports: [80]}]}'),
      'TLSBaseline tried cannot be enforced as it is written',
      'Unknown variable: nobody',
    ],
  ])('%s', async (_, input, where, what) => {
    const said = await saying('policies.tabard.dev', input);
    expect(said).toContain('admission webhook "policies.tabard.dev" denied the request');
    expect(said).toContain(where);
    expect(said).toContain(what);
  });

  test('is everything that is wrong at once', async () => {
    const said = await saying('policies.tabard.dev', policy('{name: a, when: "("}, {name: b, when: ")"}'));
    expect(said).toMatch(/rules\[0\]\.when.*\n.*rules\[1\]\.when/);
    expect(said).toContain('The request is invalid: error when creating "STDIN"');
  });
});

describe('warned of, and let in,', () => {
  test.each<readonly [string, string, string]>([
    [
      'is a role that does not exist',
      policy('{name: a, roles: [gone]}'),
      'refers to TLSRole "gone", which does not exist',
    ],
    [
      'is a condition that never holds',
      policy('{name: a, when: "1 > 2"}'),
      'can never match: its condition never holds',
    ],
    [
      'is an identity that is not of its namespace',
      policy('{name: a, from: [{identities: ["spiffe://cluster.local/ns/shop/svc/web"], namespaces: [other]}]}'),
      'can never match: none of its identities',
    ],
    [
      'is an Allow rule behind a Deny rule that takes all of it',
      policy('{name: a, from: [{services: [web]}]}, {name: b, effect: Deny, from: [{services: [web, api]}]}'),
      'allows nothing: rule "b" denies all that it matches',
    ],
    [
      'is a claim where no token is accepted',
      policy('{name: a, when: \'request.auth.claims.role == "x"\'}'),
      'the policy accepts no tokens (spec.authentication.jwt)',
    ],
    [
      'is a path on a port that speaks none',
      policy('{name: a, to: [{ports: [5432], paths: [/x]}]}', ', ports: [{port: 5432, protocol: TCP}]'),
      'no HTTP is spoken on 5432: it allows nothing there',
    ],
  ])('%s', async (_, input, what) => {
    expect(await saying(what, input)).toContain(what);
    expect(await applied(input, '--dry-run=server')).toContain('created (server dry run)');
  });

  test('is an Allow rule of which a baseline leaves nothing', async () => {
    const input = policy('{name: a, to: [{ports: [9090]}]}');
    expect(await applied(input)).toContain('created (server dry run)');
    await applied(baseline('{name: no-metrics, to: [{ports: [9090, 9100]}]}', 'floor'), '--server-side');
    await eventually('the webhook knows the baseline', async () =>
      (await applied(input)).includes('rule "no-metrics" of TLSBaseline floor denies all that it matches'),
    );
    await cluster.plane.kubectl(['delete', 'tlsbaseline', 'floor']);
  });
});

test.each<readonly [string, string]>([
  ['a policy that means what it says', policy('{name: a, from: [{services: [web]}], when: \'request.path == "/"\'}')],
  ['its keys', withKeys(JSON.stringify({ keys: [signingKey('one').jwk] }))],
  ['a role', object('TLSRole', '{permissions: [{ports: [80]}]}')],
  ['a baseline', object('TLSBaseline', '{mode: Mutual}')],
])('nothing is said of %s', async (_, input) => {
  expect(await applied(input)).toContain('created (server dry run)');
});

test('what was stored before anybody looked can be mended piece by piece, and let go', async () => {
  const broken = (first: string, more = '') => policy(`{name: a, when: "${first}"}, {name: b, when: "))"}${more}`);
  await replica.stop();
  const stored = await applied(broken('(('), '--server-side');
  // A webhook that is away holds nobody back.
  expect(stored).toContain('serverside-applied');
  replica = await cluster.startReplica();
  await cluster.untilReady();
  await eventually('the webhook is asked again', async () =>
    (await applied(broken('((', ', {name: c, when: "]"}'), '--server-side', '--dry-run=server')).includes(
      'rules[2].when',
    ),
  );
  await cluster.plane.kubectl(['label', 'tlspolicy', 'tried', 'team=a', '-n', 'default']);
  const outcomes = () =>
    replica.lines.flatMap(({ msg, outcome }) => (msg === 'policy checked' ? [String(outcome)] : []));
  const mended = broken("request.path == '/'");
  await eventually('one of two can be mended, with a warning of the other', async () => {
    expect(await applied(mended, '--server-side', '--dry-run=server')).toContain('serverside-applied');
    return outcomes().includes('warned');
  });
  expect(await applied(mended, '--server-side')).toContain('serverside-applied');
  expect(await cluster.plane.kubectl(['delete', 'tlspolicy', 'tried', '-n', 'default'])).toContain('deleted');
  expect(await replica.metrics()).toContain('kind="TLSPolicy",outcome="refused"');
});
