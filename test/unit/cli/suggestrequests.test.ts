// From requests to the rules that allow them, all the way: sidecars note, the operator takes their reports in, the status of the policy holds it, `authz suggest`
// makes a policy of it; and by that policy, as operator and sidecars read it, all that was seen is allowed, and nothing else.
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { suggest } from '../../../cli/suggest.ts';
import { decideRequest, standing } from '../../../lib/api/decide.ts';
import { prepare } from '../../../lib/api/judge.ts';
import { canonicalPath } from '../../../lib/api/path.ts';
import type { RequestFacts } from '../../../lib/api/request.ts';
import { pathShape } from '../../../lib/api/requestshape.ts';
import type { ObservedCaller, TLSPolicy, TLSPolicySpec } from '../../../lib/api/tlspolicy.ts';
import { compileAuthorization } from '../../../lib/policy/authorization.ts';
import { requestsOf } from '../../../operator/certificates/requests.ts';
import { RequestBook } from '../../../operator/control/requestbook.ts';
import { readStatus } from '../../../operator/control/statusbody.ts';
import { RequestNotes } from '../../../sidecar/control/requestnotes.ts';
import { randomFrom } from '../../support/authorization.ts';
import { testPolicy } from '../../support/policies.ts';

const now = new Date('2026-11-22T12:00:00Z');
const id = (service: string): string => `spiffe://cluster.local/ns/shop/svc/${service}`;

interface Asked {
  readonly identity: string;
  readonly port: number;
  readonly request: RequestFacts;
}

const asked = (service: string, method: string, target: string, more: Partial<RequestFacts> = {}): Asked => {
  const path = canonicalPath(target);
  return {
    identity: id(service),
    port: 8080,
    request: { method, host: 'api', path: path.ok ? path.path : undefined, ...more },
  };
};

/** What comes of requests in the status of a policy, over as many reports as it takes. */
function statusOf(seen: readonly Asked[]) {
  const notes = new RequestNotes();
  for (const { identity, port, request } of seen) notes.note({ identity, port }, request);
  const book = new RequestBook();
  const empty = { podName: 'a', podUid: 'u', selfVersion: '', bundleFingerprint: '', serial: '', notAfter: '' };
  for (let left = 20, requests = notes.take(); requests.length > 0 && left > 0; requests = notes.take(), left -= 1) {
    // The first time it does not arrive.
    if (left === 20) notes.putBack(requests);
    const body = readStatus(JSON.parse(JSON.stringify({ ...empty, plaintext: [], requests })));
    if (!body.ok) throw new Error(body.problem);
    if (left < 20) book.note('shop/api', body.report.requests ?? [], now);
  }
  const { requests } = requestsOf(
    undefined,
    book.of('shop/api').map((each) => ({ ...each, service: 'api' })),
    now,
  );
  const callers = [...new Map(seen.map((each) => [`${each.identity} ${each.port}`, each])).values()].map(
    ({ identity, port }): ObservedCaller => ({
      service: 'api',
      identity,
      port,
      connections: 1,
      since: '2026-11-01T00:00:00Z',
      lastSeen: '2026-11-22T11:00:00Z',
    }),
  );
  const since = '2026-10-01T00:00:00Z';
  return { callers, callersSince: since, ...(requests === undefined ? {} : { requests, requestsSince: since }) };
}

function applied(seen: readonly Asked[], isRead: (port: number) => boolean = () => true, spec: TLSPolicySpec = {}) {
  const policy = { ...testPolicy('api', spec), status: statusOf(seen) };
  const found = suggest({ policy, trustDomain: 'cluster.local', now, isThere: () => true, isRead });
  if (found === undefined) throw new Error('nothing was suggested');
  const read = parse(found.policy.join('\n')) as TLSPolicy;
  const sources = {
    baselines: [],
    accounts: { all: () => [], any: () => [] },
    trustDomain: 'cluster.local',
    role: () => undefined,
  };
  const { authorization, faults } = compileAuthorization({ ...policy, spec: read.spec }, sources);
  expect(faults).toEqual([]);
  const judge = prepare(authorization, 'cluster.local');
  const may = ({ identity, port, request }: Asked): boolean =>
    decideRequest(standing(judge, { identity, address: '10.0.0.1', port }), request, now).allowed;
  return { may, rules: read.spec.authorization?.rules ?? [], warnings: found.warnings };
}

const traffic = [
  asked('web', 'GET', '/items'),
  asked('web', 'HEAD', '/items'),
  asked('web', 'GET', '/items/4711/reviews?token=secret'),
  asked('web', 'GET', '/items/4712'),
  asked('web', 'POST', '/cart'),
  asked('web', 'GET', '/items', { host: 'api.shop' }),
  asked('till', 'DELETE', '/cart'),
  { ...asked('till', 'GET', '/metrics'), port: 9090 },
  asked('cart', 'POST', '/shop.v1.Cart/Add'),
  asked('cart', 'POST', '/shop.v1.Cart/Remove'),
];

test('what was seen is allowed, in rules that a person would write', () => {
  const { may, rules, warnings } = applied(traffic);
  expect(traffic.filter((each) => !may(each))).toEqual([]);
  expect(rules).toEqual([
    {
      name: 'cart',
      from: [{ services: ['cart'] }],
      to: [{ ports: [8080], grpcMethods: ['shop.v1.Cart/Add', 'shop.v1.Cart/Remove'], hosts: ['api'] }],
    },
    {
      name: 'till',
      from: [{ services: ['till'] }],
      to: [
        { ports: [8080], methods: ['DELETE'], paths: ['/cart'], hosts: ['api'] },
        { ports: [9090], methods: ['GET'], paths: ['/metrics'], hosts: ['api'] },
      ],
    },
    {
      name: 'web',
      from: [{ services: ['web'] }],
      to: [
        { ports: [8080], methods: ['GET'], paths: ['/items', '/items/*'], hosts: ['api'] },
        { ports: [8080], methods: ['HEAD'], paths: ['/items'], hosts: ['api'] },
        { ports: [8080], methods: ['POST'], paths: ['/cart'], hosts: ['api'] },
        { ports: [8080], methods: ['GET'], paths: ['/items'], hosts: ['api.shop'] },
      ],
    },
  ]);
  expect(warnings).toEqual([expect.stringMatching(/^paths that end with \/\* allow all that begin so/)]);
});

test.each<readonly [string, Asked]>([
  ['another caller', asked('other', 'GET', '/items')],
  ['another method', asked('web', 'PUT', '/items')],
  ['a method that another caller uses', asked('web', 'DELETE', '/cart')],
  ['another path', asked('web', 'GET', '/admin')],
  ['a path of another method', asked('web', 'GET', '/cart')],
  ['another host', asked('web', 'GET', '/items', { host: 'admin.shop' })],
  ['a path of another host', asked('web', 'POST', '/cart', { host: 'api.shop' })],
  ['another port', { ...asked('web', 'GET', '/items'), port: 9090 }],
  ['another gRPC method', asked('cart', 'POST', '/shop.v1.Cart/Clear')],
  ['a path without a canonical form', asked('web', 'GET', '/items/../admin')],
])('%s is denied', (_, other) => {
  expect(applied(traffic).may(other)).toBe(false);
});

test('nothing of queries, numbers and names is in what is kept', () => {
  const status = JSON.stringify(statusOf([...traffic, asked('web', 'GET', '/users/ann@example.com?password=x')]));
  expect(status).not.toMatch(/secret|4711|ann|password|\?/);
});

test('on ports whose requests are not read, ports alone are named', () => {
  const { rules } = applied(traffic, (port) => port !== 8080);
  expect(rules.map(({ name, to }) => [name, to])).toEqual([
    ['cart', [{ ports: [8080] }]],
    ['till', [{ ports: [8080] }, { ports: [9090], methods: ['GET'], paths: ['/metrics'], hosts: ['api'] }]],
    ['web', [{ ports: [8080] }]],
  ]);
});

test('what no rule can name is said', () => {
  const { warnings } = applied([
    asked('web', 'GET', '/a'),
    asked('web', 'GET', '/a//b'),
    asked('web', 'purge', '/a'),
    asked('web', 'GET', '/b', { host: undefined }),
  ]);
  expect(warnings).toEqual(['no rule can name GET a path without a canonical form, purge /a, and none allows it']);
});

test('whatever random callers ask for is allowed afterwards, in a policy that the schema takes; what they did not is denied', () => {
  const random = randomFrom(20261122);
  const one = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const segments = ['items', 'users', 'v1', 'api', '7', '12-3', 'ann', 'x'.repeat(45), 'shop.v1.Cart', 'Add'];
  const draw = (): Asked => ({
    ...asked(
      one(['web', 'till', 'cart']),
      one(['GET', 'POST', 'PUT']),
      `/${Array.from({ length: 1 + Math.floor(random() * 4) }, () => one(segments)).join('/')}`,
      {
        host: one(['api', 'api.shop', undefined]),
      },
    ),
    port: one([8080, 9090]),
  });
  for (const count of [1, 10, 60]) {
    const seen = Array.from({ length: count }, draw);
    const { may, rules } = applied(seen);
    expect(seen.filter((each) => !may(each))).toEqual([]);
    for (const other of Array.from({ length: 300 }, draw))
      expect({ other, may: may(other) }).toEqual({ other, may: seen.some((each) => isLike(each, other)) });
    for (const { to = [] } of rules) {
      expect(to.length).toBeLessThanOrEqual(16);
      for (const { paths = [], hosts = [], grpcMethods = [] } of to)
        expect(Math.max(paths.length, hosts.length, grpcMethods.length)).toBeLessThanOrEqual(32);
    }
  }
});

/** Whether what was seen stands for another request: the same but for what varies in its path. Where no host was said, any is allowed. */
function isLike(seen: Asked, other: Asked): boolean {
  const { method, host, path = '' } = seen.request;
  const shape = pathShape(method, path);
  const isPath = shape.endsWith('/*')
    ? other.request.path?.startsWith(shape.slice(0, -1))
    : other.request.path === shape;
  const isHost = host === undefined || host === other.request.host;
  const isCaller = seen.identity === other.identity && seen.port === other.port;
  return isCaller && method === other.request.method && isHost && isPath === true;
}
