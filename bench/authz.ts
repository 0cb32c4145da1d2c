// What one authorization decision costs: `make bench-authz`. CPU time of this thread per decision, the median of rounds; the rules are such that
// every one of them has to be looked at. Of requests the whole is measured: the caller, the path off the wire, and the decision, although a
// sidecar asks about the caller once per connection; how much less that is, is shown beside. The last line has the bars.
import type { Authorization, CallerMatch, RuleMatch, TargetMatch } from '../lib/api/authorization.ts';
import { type Call, decide, decideRequest, standing } from '../lib/api/decide.ts';
import { type Judge, prepare } from '../lib/api/judge.ts';
import { canonicalPath } from '../lib/api/path.ts';
import type { RequestFacts } from '../lib/api/request.ts';
import { conditionLanguage } from '../lib/cel/language.ts';

const ruleCount = 100;
const rounds = 15;
const decisions = 100_000;
const limitMicroseconds = 2;
const conditionLimitMicroseconds = 10;

const identity = 'spiffe://cluster.local/ns/shop/svc/web';

/** A list of names none of which is asked for, as long as lists often are. */
const others = (prefix: string): readonly string[] => Array.from({ length: 5 }, (_, index) => `${prefix}-${index}`);

function ruleOf(index: number, caller: CallerMatch): RuleMatch {
  return {
    name: `rule-${index}`,
    effect: index % 3 === 0 ? 'Deny' : 'Allow',
    from: [caller],
    to: [{ ports: [8080, 8443] }],
  };
}

/** A hundred rules of which the last one alone matches the call. */
function rulesWith(caller: (index: number) => CallerMatch): Authorization {
  const rules = Array.from({ length: ruleCount - 1 }, (_, index) => ruleOf(index, caller(index)));
  return {
    form: 1,
    rules: [...rules, { name: 'last', effect: 'Allow', from: [{ services: ['web'], namespaces: ['shop'] }] }],
  };
}

const services = rulesWith((index) => ({ services: others(`service-${index}`), namespaces: ['shop'] }));
const cases: readonly (readonly [string, Authorization, Call])[] = [
  ['by service', services, { identity, address: '10.0.0.1', port: 8080 }],
  [
    'by identity',
    rulesWith((index) => ({ identities: others(`${identity}-${index}`) })),
    { identity, address: '10.0.0.1', port: 8080 },
  ],
  [
    'by service account',
    rulesWith((index) => ({ namespaces: ['shop'], holders: others(`${identity}-${index}`) })),
    { identity, address: '10.0.0.1', port: 8080 },
  ],
  [
    'by IPv4 range',
    rulesWith((index) => ({ ipBlocks: Array.from({ length: 5 }, (_, part) => `172.${index}.${part}.0/24`) })),
    { identity, address: '::ffff:10.0.0.1', port: 8080 },
  ],
  [
    'by IPv6 range',
    rulesWith((index) => ({ ipBlocks: Array.from({ length: 5 }, (_, part) => `fd00:${index}:${part}::/48`) })),
    { identity, address: 'fd01:2:3::4', port: 8080 },
  ],
  [
    'in audit mode',
    {
      ...services,
      rules: services.rules.map((rule, index) => (index % 2 === 0 ? { ...rule, audit: true as const } : rule)),
    },
    { identity, address: '10.0.0.1', port: 8080 },
  ],
];

function cpuMicroseconds(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return user + system;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

/** Microseconds of one decision. The caller is another object each time, as in life. */
function perDecision(judge: Judge, call: Call): number {
  const times = Array.from({ length: rounds }, () =>
    cpuMicroseconds(() => {
      for (let turn = 0; turn < decisions; turn += 1) {
        if (!decide(judge, { ...call }).allowed) throw new Error('the last rule allows this call');
      }
    }),
  );
  return median(times) / decisions;
}

/** A hundred rules about requests of one caller, Deny and Allow, of which the last one alone matches. */
function rulesAbout(target: (index: number) => TargetMatch, when?: (index: number) => string): Authorization {
  const from = [{ services: ['web'], namespaces: ['shop'] }];
  const rules = Array.from({ length: ruleCount - 1 }, (_, index): RuleMatch => {
    const effect = index % 3 === 0 ? 'Deny' : 'Allow';
    return {
      name: `rule-${index}`,
      effect,
      from,
      to: [target(index)],
      ...(when === undefined ? {} : { when: when(index) }),
    };
  });
  const matching = { ports: [8080], methods: ['GET'], paths: ['/shop/items/*'] };
  const last: RuleMatch = { name: 'last', effect: 'Allow', from, to: [matching] };
  return { form: 1, rules: [...rules, when === undefined ? last : { ...last, when: when(ruleCount) }] };
}

const target = '/shop/items/4711/reviews?page=2';
const headers = Object.assign(Object.create(null) as Record<string, string>, {
  host: 'shop.example',
  'x-team': `team-${ruleCount}`,
  'user-agent': 'bench',
});

const claims = { sub: 'ann', groups: ['staff', 'readers', `team-${ruleCount}`] };

function requestFor(sent: string): RequestFacts {
  const canonical = canonicalPath(sent);
  return { method: 'GET', host: 'shop.example', path: canonical.ok ? canonical.path : undefined, headers, claims };
}

const pathOf = (index: number): string => (index % 2 === 0 ? `/shop/area-${index}/*` : `/shop/items/${index}/details`);
const team = (index: number): string => `request.headers["x-team"] == "team-${index}" && source.namespace == "shop"`;
const group = (index: number): string =>
  `request.auth.present && "team-${index}" in request.auth.claims.groups && request.auth.claims.sub == "ann"`;
const daytime = (index: number): string =>
  `now.getHours() < 24 && (request.headers["x-team"] == "team-${index}" || request.path.startsWith("/team-${index}/"))`;
const anything = (): TargetMatch => ({ ports: [8080] });
const byPath = (index: number): TargetMatch => ({ ports: [8080], methods: ['GET', 'POST'], paths: [pathOf(index)] });
const requestCases: readonly (readonly [string, Authorization, number])[] = [
  ['about methods and paths', rulesAbout(byPath), limitMicroseconds],
  [
    'about methods, paths and hosts',
    rulesAbout((index) => ({ ...byPath(index), hosts: ['*.example', `h-${index}`] })),
    limitMicroseconds,
  ],
  ['about paths with a condition each', rulesAbout(byPath, team), conditionLimitMicroseconds],
  // None of these can be told apart by anything but its condition: each is worked out.
  ['that differ in their condition alone', rulesAbout(anything, team), conditionLimitMicroseconds],
  ['that differ in what they ask of claims', rulesAbout(anything, group), conditionLimitMicroseconds],
  [
    'that differ in their condition, which the time is part of',
    rulesAbout(anything, daytime),
    conditionLimitMicroseconds,
  ],
];

/** Microseconds of the decision about one request: the first of its connection, or a later one. */
function perRequest(judge: Judge, times: number, first: boolean = true): number {
  const call = cases[0]?.[2] ?? { identity, address: '', port: 8080 };
  const now = new Date();
  const known = standing(judge, call);
  const measured = Array.from({ length: rounds }, () =>
    cpuMicroseconds(() => {
      for (let turn = 0; turn < times; turn += 1) {
        const decision = decideRequest(first ? standing(judge, { ...call }) : known, requestFor(target), now);
        if (!decision.allowed) throw new Error('the last rule allows this request');
      }
    }),
  );
  return median(measured) / times;
}

function bar(what: string, measured: number, limit: number) {
  const value = Number(measured.toFixed(3));
  process.stdout.write(`one decision with ${ruleCount} rules ${what}: ${value} µs\n`);
  return { name: `one decision with ${ruleCount} rules ${what} [µs]`, value, limit, ok: value <= limit };
}

const bars = [
  ...cases.map(([what, rules, call]) =>
    bar(what, perDecision(prepare(rules, 'cluster.local'), call), limitMicroseconds),
  ),
  ...requestCases.flatMap(([what, rules, limit]) => {
    const judge = prepare(rules, 'cluster.local', conditionLanguage);
    return [
      bar(`${what}, first request of a connection`, perRequest(judge, decisions), limit),
      bar(`${what}, later request`, perRequest(judge, decisions, false), limit),
    ];
  }),
];
// For orientation: what a condition costs that is left to the library, since there is no form of its own for it here.
const left = perRequest(
  prepare(
    rulesAbout(anything, (index) => `size(request.headers["x-team"]) == ${index === ruleCount ? 8 : index + 100}`),
    'cluster.local',
    conditionLanguage,
  ),
  2_000,
  false,
);
process.stdout.write(
  `one decision with ${ruleCount} rules of which the library works out each condition: ${left.toFixed(1)} µs\n`,
);
const times = 200;
const preparing = cpuMicroseconds(() => {
  for (let turn = 0; turn < times; turn += 1) prepare(services, 'cluster.local');
});
const toPrepare = Math.round(preparing / times);
process.stdout.write(`to prepare ${ruleCount} rules, once per change of policy: ${toPrepare} µs\n`);
process.stdout.write(`${JSON.stringify({ bars })}\n`);
if (bars.some(({ ok }) => !ok)) process.exitCode = 1;
