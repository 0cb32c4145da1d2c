// Authorization in tests: a slow judge that follows the words of the design and shares no code with the real one, and random rules and
// calls from a fixed seed that are near enough to each other to match often.
import type { Authorization, CallerMatch, RuleMatch, TargetMatch } from '../../lib/api/authorization.ts';
import type { Call } from '../../lib/api/decide.ts';
import type { RequestFacts } from '../../lib/api/request.ts';

/** Random numbers from 0 (inclusive) to 1, the same for the same seed (xorshift32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** The 128 bits of an address as text; IPv4 as 32. */
function bitsOf(address: string): string {
  const four = /^(?:::ffff:)?(\d+)\.(\d+)\.(\d+)\.(\d+)$/i.exec(address);
  const binary = (value: number, width: number): string => value.toString(2).padStart(width, '0');
  if (four !== null)
    return four
      .slice(1)
      .map((part) => binary(Number(part), 8))
      .join('');
  const [left = '', right] = address.split('::');
  const groups = (text: string): string[] => text.split(':').filter((group) => group !== '');
  const zeros = right === undefined ? 0 : 8 - groups(left).length - groups(right).length;
  const all = [...groups(left), ...Array<string>(zeros).fill('0'), ...groups(right ?? '')];
  return all.map((group) => binary(Number.parseInt(group, 16), 16)).join('');
}

function inRange(cidr: string, address: string): boolean {
  const [base = '', length = ''] = cidr.split('/');
  const [range, given] = [bitsOf(base), bitsOf(address)];
  const isMapped = base.toLowerCase().startsWith('::ffff:') && base.includes('.');
  const bits = isMapped ? Number(length) - 96 : Number(length);
  return range.length === given.length && range.slice(0, bits) === given.slice(0, bits);
}

function isCaller(caller: CallerMatch, call: Call): boolean {
  const [, namespace, service] =
    /^spiffe:\/\/cluster\.local\/ns\/([^/]+)\/svc\/([^/]+)$/.exec(call.identity ?? '') ?? [];
  return (
    (caller.namespaces?.some((each) => each === namespace) ?? true) &&
    (caller.services?.some((each) => each === service) ?? true) &&
    (caller.identities?.some((each) => each === call.identity) ?? true) &&
    (caller.holders?.some((each) => each === call.identity) ?? true) &&
    (caller.ipBlocks?.some((each) => inRange(each, call.address)) ?? true)
  );
}

/** What a target asks of requests: `unread` = none is known, and what is asked counts as fulfilled or not. */
function isTarget(
  target: TargetMatch,
  effect: RuleMatch['effect'],
  call: Call,
  request: RequestFacts | undefined,
): boolean {
  const { ports, methods, paths, hosts } = target;
  if (!(ports?.includes(call.port) ?? true)) return false;
  if (methods === undefined && paths === undefined && hosts === undefined) return true;
  if (request === undefined) return effect === 'Deny';
  const isDeny = effect === 'Deny';
  const { method, path, host } = request;
  const one = (list: readonly string[] | undefined, test: (each: string) => boolean): boolean =>
    list?.some(test) ?? true;
  return (
    one(methods, (each) => each === (isDeny ? method.toUpperCase() : method)) &&
    one(paths, (each) => (path === undefined ? isDeny : isPath(each, path, isDeny))) &&
    one(hosts, (each) => {
      if (host === undefined) return isDeny;
      return each.startsWith('*.') ? host.endsWith(each.slice(1)) : host === each;
    })
  );
}

function isPath(pattern: string, path: string, isDeny: boolean): boolean {
  const ways = (text: string): string =>
    isDeny ? `${text.toLowerCase().replaceAll('%3a', ':')}/`.replace(/\/\/$/, '/') : text;
  if (!pattern.endsWith('/*')) return ways(pattern) === ways(path);
  const beginning = pattern.slice(0, -1);
  return ways(path).startsWith(isDeny ? ways(beginning) : beginning);
}

function isMatch(rule: RuleMatch, call: Call, request: RequestFacts | undefined): boolean {
  const from = rule.from?.some((each) => isCaller(each, call)) ?? true;
  const to = rule.to?.some((target) => isTarget(target, rule.effect, call, request)) ?? true;
  return from && to;
}

/** Whether a call is allowed by these rules, the audit ones left out, where no request is read. Of services and namespaces of cluster.local. */
export function slowVerdict(rules: readonly RuleMatch[], call: Call): boolean {
  return slowRequestVerdict(rules, call, undefined);
}

/** The same of a request. */
export function slowRequestVerdict(
  rules: readonly RuleMatch[],
  call: Call,
  request: RequestFacts | undefined,
): boolean {
  const enforced = rules.filter((rule) => rule.audit !== true);
  if (enforced.some((rule) => rule.effect === 'Deny' && isMatch(rule, call, request))) return false;
  const allow = enforced.filter((rule) => rule.effect === 'Allow');
  return allow.length === 0 || allow.some((rule) => isMatch(rule, call, request));
}

const names = ['web', 'api', 'db', 'cron'];
const spaces = ['shop', 'pay', 'dev'];
const addresses = [
  '10.0.0.1',
  '10.0.1.200',
  '192.168.3.4',
  '::ffff:10.0.0.7',
  'fd00::1',
  'fd00:1::ffff:2',
  '2001:db8::9',
];
const blocks = [
  '10.0.0.0/24',
  '10.0.0.0/8',
  '0.0.0.0/0',
  '192.168.3.4/32',
  '::ffff:10.0.0.0/120',
  'fd00::/16',
  '::/0',
  'fd00::/127',
];
const ports = [80, 8080, 9090];

/** Random rules and calls. */
export class RandomRules {
  protected readonly random: () => number;

  constructor(seed: number) {
    this.random = randomFrom(seed);
  }

  rules(count: number): Authorization {
    return { form: 1, rules: Array.from({ length: count }, (_, index) => this.#rule(`rule-${index}`)) };
  }

  call(): Call {
    const kind = this.random();
    const identity = `spiffe://${kind < 0.9 ? 'cluster.local' : 'other.example'}/ns/${this.one(spaces)}/svc/${this.one(names)}`;
    return { identity: kind < 0.15 ? undefined : identity, address: this.one(addresses), port: this.one(ports) };
  }

  #rule(name: string): RuleMatch {
    return {
      name,
      effect: this.random() < 0.4 ? 'Deny' : 'Allow',
      ...(this.random() < 0.2 ? { audit: true as const } : {}),
      ...(this.random() < 0.8 ? { from: this.some(2, () => this.#caller()) } : {}),
      ...(this.random() < 0.5 ? { to: this.some(2, () => this.target()) } : {}),
    };
  }

  #caller(): CallerMatch {
    const identity = (): string => `spiffe://cluster.local/ns/${this.one(spaces)}/svc/${this.one(names)}`;
    const lists = {
      services: () => this.one(names),
      namespaces: () => this.one(spaces),
      identities: identity,
      holders: identity,
      ipBlocks: () => this.one(blocks),
    };
    const kept = Object.entries(lists).filter(() => this.random() < 0.35);
    return Object.fromEntries(kept.map(([name, make]) => [name, this.some(3, make)]));
  }

  protected target(): TargetMatch {
    return this.random() < 0.9 ? { ports: this.some(2, () => this.one(ports)) } : {};
  }

  protected some<T>(most: number, make: () => T): readonly T[] {
    return Array.from({ length: 1 + Math.floor(this.random() * most) }, make);
  }

  protected one<T>(list: readonly [T, ...T[]] | readonly T[]): T {
    const found = list[Math.floor(this.random() * list.length)];
    if (found === undefined) throw new Error('the list is empty');
    return found;
  }
}

const methods = ['GET', 'PUT', 'HEAD', 'get'];
const patterns = ['/', '/*', '/a', '/a/', '/a/*', '/a/b', '/a/b/*', '/c/*', '/C', '/d:e', '/d:e/*'];
const paths = ['/', '/a', '/A', '/a/', '/a/b', '/a/b/', '/a/B/c', '/c', '/C/d', '/e', '/d:e', '/d%3Ae', '/D%3Ae/f'];
const hostPatterns = ['shop', '*.shop', 'a.shop', 'pay'];
const hosts = ['shop', 'a.shop', 'b.a.shop', 'pay', 'xshop'];

/** Random rules that ask for requests, too, and requests. */
export class RandomRequests extends RandomRules {
  request(): RequestFacts {
    const known = <T>(list: readonly T[]): T | undefined => (this.random() < 0.1 ? undefined : this.one(list));
    return { method: this.one(methods), path: known(paths), host: known(hosts) };
  }

  protected override target(): TargetMatch {
    const lists = {
      methods: () => this.one(methods.slice(0, 3)),
      paths: () => this.one(patterns),
      hosts: () => this.one(hostPatterns),
    };
    const kept = Object.entries(lists).filter(() => this.random() < 0.45);
    return { ...super.target(), ...Object.fromEntries(kept.map(([name, make]) => [name, this.some(3, make)])) };
  }
}
