// Rules about requests in a cluster, from the policy as a user writes it to the answer that a client gets: the Service says that the port
// speaks HTTP, the operator compiles the rules, the sidecar of the called pod judges each request, and a change holds at once.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Kit, kit, type Raw, until } from '../support/e2e/kit.ts';
import { apiContainer, apiService, deployment, inject, policy } from '../support/e2e/workloads.ts';

const namespace = 'requests';
let k: Kit;
let client = '';

interface Answer {
  readonly status: number;
  readonly reason: string | null;
}

/** One request of the client's application. */
async function ask(method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const script = `fetch('http://api:8080${path}', ${JSON.stringify({ method, headers })}).then((answer) =>
    console.log(JSON.stringify({ status: answer.status, reason: answer.headers.get('x-tabard-reason') })),
    (error) => console.log(JSON.stringify({ status: 0, reason: String(error.cause ?? error) })))`;
  const text = await k.kubectl([
    '-n',
    namespace,
    'exec',
    client,
    '-c',
    'app',
    '--',
    '/usr/local/bin/node',
    '-e',
    script,
  ]);
  return JSON.parse(/\{"status".*\}/.exec(text)?.[0] ?? '{}') as Answer;
}

/** The answer that a change of rules brings about, sooner or later. */
const becomes = (status: number, method: string, path: string, headers = {}): Promise<Answer> =>
  until(`${status} to ${method} ${path}`, 60, async () => {
    const answer = await ask(method, path, headers);
    return answer.status === status ? answer : undefined;
  });

const rules = (...list: readonly Raw[]): Raw =>
  policy(namespace, 'api', { selector: { matchLabels: { app: 'api' } }, authorization: { rules: list } });
const reads = {
  name: 'reads',
  from: [{ services: ['client'] }],
  to: [{ ports: [8080], methods: ['GET'], paths: ['/*'] }],
};
const noAdmin = { name: 'no-admin', effect: 'Deny', to: [{ ports: [8080], paths: ['/admin/*'] }] };

async function condition(type: string, status: string): Promise<Raw> {
  return until(`condition ${type} ${status}`, 60, async () => {
    const found = JSON.parse(await k.kubectl(['-n', namespace, 'get', 'tlsp', 'api', '-o', 'json'])) as Raw;
    const conditions = (found['status']?.conditions ?? []) as readonly Raw[];
    const { generation } = found['metadata'] as Raw;
    return conditions.find(
      (each) => each['type'] === type && each['status'] === status && each['observedGeneration'] === generation,
    );
  });
}

beforeAll(async () => {
  k = await kit();
  await k.namespace(namespace, { 'tabard.dev/injection': 'enabled' });
  await k.apply(
    rules(reads, noAdmin),
    deployment({ namespace, name: 'api', container: apiContainer, annotations: inject }),
    apiService(namespace, 'api'),
    deployment({ namespace, name: 'client', role: 'api', container: apiContainer }),
  );
  await Promise.all(['api', 'client'].map((each) => k.rolledOut(namespace, `deployment/${each}`, 180)));
  const [pod] = await k.pods(namespace, 'app=client');
  client = String(pod?.['metadata'].name);
}, 240_000);

afterAll(() => k.drop(namespace));

describe('requests to a port of which the Service says that it speaks HTTP', () => {
  test('are allowed and denied by method and path', async () => {
    const allowed = await until('an answer of the application', 60, async () => {
      const answer = await ask('GET', '/');
      return answer.status > 0 && answer.status !== 403 ? answer : undefined;
    });
    expect(allowed.reason).toBeNull();
    expect(await ask('DELETE', '/')).toEqual({ status: 403, reason: 'denied' });
    expect(await ask('GET', '/admin/users')).toEqual({ status: 403, reason: 'denied' });
    expect(await ask('GET', '/%61dmin/users')).toEqual({ status: 403, reason: 'denied' });
    expect(await condition('RulesEnforced', 'True')).toMatchObject({ reason: 'Enforced' });
  });

  test('are judged by new rules as soon as they are applied, also by conditions', async () => {
    const team = {
      name: 'team',
      from: [{ services: ['client'] }],
      to: [{ ports: [8080] }],
      when: 'request.headers["x-team"] == "a"',
    };
    await k.apply(rules(team));
    expect(await becomes(403, 'GET', '/')).toEqual({ status: 403, reason: 'denied' });
    const allowed = await ask('DELETE', '/', { 'x-team': 'a' });
    expect(allowed).toMatchObject({ reason: null });
    expect(allowed.status).not.toBe(403);
    expect(await ask('GET', '/', { 'x-team': 'b' })).toEqual({ status: 403, reason: 'denied' });
  });

  test('cannot be given a condition that is none: it is refused when it is applied, with what is wrong and where', async () => {
    const broken = rules({ name: 'broken', to: [{ ports: [8080] }], when: 'request.verb == "GET"' });
    // A webhook that takes its time on a busy machine holds nobody back.
    const said = await until('a refusal', 60, async () => {
      const text = await k
        .kubectl(['apply', '--dry-run=server', '-f', '-'], JSON.stringify(broken))
        .catch((error: unknown) => String(error));
      return text.includes('policies.tabard.dev') ? text : undefined;
    });
    expect(said).toContain('spec.authorization.rules[0].when: "broken" has a condition that cannot be used');
    expect(said).toContain('line 1, column 9: No such key: verb');
  });

  test('that ask of a port that does not speak HTTP are named in the status', async () => {
    await k.apply(rules({ ...noAdmin, to: [{ ports: [8081], paths: ['/admin/*'] }] }));
    expect(await condition('RulesEnforced', 'False')).toMatchObject({
      reason: 'PortsNotRead',
      message: expect.stringContaining('deny everything on 8081'),
    });
  });
});
