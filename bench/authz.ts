// What one authorization decision costs: `make bench-authz`. CPU time of this thread per decision, the median of rounds; the rules are such that
// every one of them has to be looked at. The last line has the bars.
import type { Authorization, CallerMatch, RuleMatch } from '../lib/api/authorization.ts';
import { type Call, decide } from '../lib/api/decide.ts';
import { type Judge, prepare } from '../lib/api/judge.ts';

const ruleCount = 100;
const rounds = 15;
const decisions = 100_000;
const limitMicroseconds = 2;

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

const bars = cases.map(([what, rules, call]) => {
  const value = Number(perDecision(prepare(rules, 'cluster.local'), call).toFixed(3));
  process.stdout.write(`one decision with ${ruleCount} rules ${what}: ${value} µs\n`);
  return {
    name: `one decision with ${ruleCount} rules ${what} [µs]`,
    value,
    limit: limitMicroseconds,
    ok: value <= limitMicroseconds,
  };
});
const times = 200;
const preparing = cpuMicroseconds(() => {
  for (let turn = 0; turn < times; turn += 1) prepare(services, 'cluster.local');
});
const toPrepare = Math.round(preparing / times);
process.stdout.write(`to prepare ${ruleCount} rules, once per change of policy: ${toPrepare} µs\n`);
process.stdout.write(`${JSON.stringify({ bars })}\n`);
if (bars.some(({ ok }) => !ok)) process.exitCode = 1;
