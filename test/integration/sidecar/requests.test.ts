// Authorization of requests at the data path, over real TLS: which requests reach the application, what the client of a denied one gets and what
// it does not learn, what becomes of the connection, and that a change of rules holds from the next request on.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { RuleMatch, TargetMatch } from '../../../lib/api/authorization.ts';
import type { Protocol } from '../../../lib/api/tlspolicy.ts';
import { ask, carried, Mesh, type Pod, received, refusals, until as within } from '../../support/pocketmesh.ts';
import type { SelfOptions } from '../../support/sidecar.ts';
import { changePolicy, Talk } from '../../support/talk.ts';

/** A busy machine may take its time. */
const until = (condition: () => boolean, what: string): Promise<void> => within(condition, what, 15_000);

const rule = (
  name: string,
  effect: RuleMatch['effect'],
  to?: TargetMatch,
  more: Partial<RuleMatch> = {},
): RuleMatch => ({
  name,
  effect,
  ...(to === undefined ? {} : { to: [to] }),
  ...more,
});
const reads = rule('reads', 'Allow', { methods: ['GET'], paths: ['/items/*', '/ws'] });
const noAdmin = rule('no-admin', 'Deny', { paths: ['/admin/*'] });

let mesh: Mesh;

beforeEach(async () => {
  mesh = await Mesh.start();
});
afterEach(() => mesh.end());

/** A web server that says what it got, and that speaks an echo after an upgrade. */
function site(got: string[]): Server {
  const server = createServer((asked, answer) => {
    got.push(`${asked.method} ${asked.url}`);
    asked.resume();
    if (asked.url === '/items/slow') answer.write('beginning');
    else asked.on('end', () => answer.end(`${asked.method} ${asked.url}`));
  });
  server.on('upgrade', (asked, socket: Socket) => {
    got.push(`upgrade ${asked.url}`);
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  return server;
}

interface Site {
  readonly pod: Pod;
  /** What has reached the application. */
  readonly got: readonly string[];
  /** Puts other rules in force. */
  readonly change: (...list: readonly RuleMatch[]) => Promise<void>;
}

/** A pod `api` with a web server, published as port 8080, under these rules. */
async function api(
  list: readonly RuleMatch[],
  { connections, accessLog, mode = 'Mutual', protocol = 'HTTP' }: SelfOptions & { readonly protocol?: Protocol } = {},
): Promise<Site> {
  const got: string[] = [];
  const server = site(got);
  const application = await mesh.application((socket) => void server.emit('connection', socket));
  mesh.onEnd(() => server.closeAllConnections());
  const self = (rules: readonly RuleMatch[]): SelfOptions => ({
    mode,
    ...(connections === undefined ? {} : { connections }),
    ...(accessLog === undefined ? {} : { accessLog }),
    ports: [{ port: application.port, mode, protocol }],
    authorization: { form: 1, rules },
  });
  const pod = await mesh.pod('api', { applicationPort: application.port, self: self(list) });
  mesh.publish(8080, [pod]);
  const change = (...next: readonly RuleMatch[]): Promise<void> => changePolicy(mesh, pod, 'api', self(next));
  return { pod, got, change };
}

/** A connection on which requests are made one after the other. */
class Requests extends Talk {
  /** Sends a request, and resolves with the status and the last line of its answer. */
  async get(target: string, { method = 'GET', fields = '' } = {}): Promise<string> {
    const from = this.text.length;
    this.socket.write(`${method} ${target} HTTP/1.1\r\nHost: shop\r\n${fields}\r\n`);
    await until(() => isWhole(this.text.slice(from)) || this.ended, `an answer to ${target}`);
    return outcome(this.text.slice(from));
  }
}

/** Answers of the tests are short: all of the body, by its length or its last chunk. */
function isWhole(text: string): boolean {
  const [head, body = ''] = split(text);
  const length = /^content-length: (\d+)/im.exec(head)?.[1];
  if (length !== undefined) return body.length >= Number(length);
  return /chunked/i.test(head) ? body.endsWith('0\r\n\r\n') : false;
}

function split(text: string): readonly [string, string?] {
  const at = text.indexOf('\r\n\r\n');
  return at < 0 ? [text] : [text.slice(0, at + 4), text.slice(at + 4)];
}

function outcome(text: string): string {
  const [head, body = ''] = split(text);
  return `${/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 'none'} ${body.replace(/^\w+\r\n([^\r]*)\r\n0\r\n\r\n$/, '$1').trim()}`;
}

const denials = (pod: Pod) => refusals(pod).filter(({ reason }) => reason === 'denied');
const counted = async (pod: Pod, family: string, ...labels: readonly string[]): Promise<number> => {
  const lines = (await pod.metrics.text()).split('\n').filter((each) => each.startsWith(family));
  const line = lines.find((each) => labels.every((label) => each.includes(label)));
  return Number(line?.split(' ').at(-1) ?? 0);
};
const decisions = (pod: Pod, name: string, what: string) =>
  counted(pod, 'tabard_authorization_decisions_total', `rule="${name}"`, `outcome="${what}"`);

describe.each(['Tunnel', 'Direct'] as const)('requests between sidecars by %s', (transport) => {
  const connections = { transport };

  test('are each allowed or denied on one connection; the denied ones never reach the application', async () => {
    const { pod, got } = await api([reads, noAdmin], { connections });
    const web = await mesh.pod('web', { self: { connections } });
    const talk = new Requests(web.dial(8080));
    expect(await talk.get('/items/1?q=1')).toBe('200 GET /items/1?q=1');
    expect(await talk.get('/items/1', { method: 'DELETE' })).toBe('403 denied');
    expect(await talk.get('/ADMIN/x')).toBe('403 denied');
    expect(await talk.get('/items/%2e%2e/admin')).toBe('403 denied');
    expect(await talk.get('/items/2')).toBe('200 GET /items/2');
    talk.socket.destroy();
    expect(got).toEqual(['GET /items/1?q=1', 'GET /items/2']);
    expect(talk.text).toContain('X-Tabard-Reason: denied\r\n');
    expect(talk.text).not.toMatch(/reads|no-admin|Allow/);
    await until(() => denials(pod).length > 0, 'a refusal is logged');
    expect(denials(pod)[0]).toMatchObject({
      direction: 'inbound',
      detail: 'spiffe://cluster.local/ns/shop/svc/web DELETE /items/1: no Allow rule matches',
    });
    expect(await decisions(pod, 'reads', 'allowed')).toBe(2);
    expect(await decisions(pod, 'no-admin', 'denied')).toBe(2);
    expect(await decisions(pod, '', 'denied')).toBe(1);
    expect(JSON.stringify(web.lines)).not.toMatch(/no-admin|Allow rule/);
    const told = () => mesh.control.reports.flatMap(({ report }) => report.requests ?? []);
    const count = (): number => told().reduce((sum, each) => sum + each.count, 0);
    await until(() => count() >= 1, 'what was let through is reported');
    const identity = 'spiffe://cluster.local/ns/shop/svc/web';
    // Nothing of what was denied, of queries and of numbers.
    for (const each of told()) expect(each).toMatchObject({ identity, method: 'GET', path: '/items/*' });
  });

  test('that are sent ahead are answered in their order', async () => {
    const { got } = await api([reads], { connections });
    const web = await mesh.pod('web', { self: { connections } });
    const one = (method: string, target: string, more = ''): string =>
      `${method} ${target} HTTP/1.1\r\nHost: shop\r\n${more}\r\n`;
    const all = one('GET', '/items/1') + one('GET', '/no') + one('GET', '/items/2') + one('HEAD', '/items/3');
    const text = await ask(web.dial(8080), all + one('GET', '/items/4', 'Connection: close\r\n'));
    expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual([
      '200',
      '403',
      '200',
      '403',
      '200',
    ]);
    expect(got).toEqual(['GET /items/1', 'GET /items/2', 'GET /items/4']);
  });

  test('that are denied with a body end the connection, and nothing behind them is read', async () => {
    const { got } = await api([reads], { connections });
    const web = await mesh.pod('web', { self: { connections } });
    const body = 'GET /items/smuggled HTTP/1.1\r\nHost: shop\r\n\r\n';
    const text = await ask(
      web.dial(8080),
      `POST /items/1 HTTP/1.1\r\nHost: shop\r\nContent-Length: ${body.length}\r\n\r\n${body}${body}`,
    );
    expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
    expect(text).toContain('Connection: close\r\n');
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(got).toEqual([]);
  });

  test('are judged by the rules of the moment: the next one on a live connection by new ones', async () => {
    const { pod, got, change } = await api([reads], { connections });
    const web = await mesh.pod('web', { self: { connections } });
    const talk = new Requests(web.dial(8080));
    expect(await talk.get('/items/1')).toBe('200 GET /items/1');
    await change(rule('others', 'Allow', { paths: ['/other'] }));
    expect(await talk.get('/items/1')).toBe('403 denied');
    expect(await talk.get('/other')).toBe('200 GET /other');
    await change(rule('api', 'Allow', { paths: ['/*'] }, { from: [{ services: ['api'] }] }));
    await until(() => talk.ended, 'a connection on which nothing is allowed any more is cut');
    await until(() => carried(pod).length > 0, 'its end is logged');
    expect(carried(pod).at(-1)).toMatchObject({ reason: 'denied' });
    expect(got).toEqual(['GET /items/1', 'GET /other']);
  });

  test('under way are cut when they are no longer allowed; those that are go on', async () => {
    const { change } = await api([reads], { connections });
    const web = await mesh.pod('web', { self: { connections } });
    const slow = new Requests(web.dial(8080));
    slow.socket.write('GET /items/slow HTTP/1.1\r\nHost: shop\r\n\r\n');
    await until(() => slow.text.includes('beginning'), 'the answer has begun');
    const idle = new Requests(web.dial(8080));
    expect(await idle.get('/items/1')).toBe('200 GET /items/1');
    await change(reads, rule('no-slow', 'Deny', { paths: ['/items/slow'] }));
    await until(() => slow.ended, 'the answer is cut');
    expect(await idle.get('/items/2')).toBe('200 GET /items/2');
    idle.socket.destroy();
  });

  test('to upgrade are judged, and what came of them is cut with them', async () => {
    const { got, change } = await api([reads], { connections });
    const web = await mesh.pod('web', { self: { connections } });
    const upgrade = 'Connection: Upgrade\r\nUpgrade: echo\r\n';
    const refused = new Requests(web.dial(8080));
    expect(await refused.get('/chat', { fields: upgrade })).toBe('403 denied');
    refused.socket.destroy();
    const talk = new Requests(web.dial(8080));
    talk.socket.write(`GET /ws HTTP/1.1\r\nHost: shop\r\n${upgrade}\r\n`);
    await until(() => talk.text.endsWith('\r\n\r\n'), 'the protocols are switched');
    talk.socket.write('GET /admin');
    await until(() => talk.text.endsWith('GET /admin'), 'no HTTP is read any more');
    await change(reads, noAdmin);
    talk.socket.write(' still');
    await until(() => talk.text.endsWith(' still'), 'it is still allowed');
    await change(noAdmin, rule('no-ws', 'Deny', { paths: ['/ws'] }));
    await until(() => talk.ended, 'it is cut');
    expect(got).toEqual(['upgrade /ws']);
  });

  test('in audit mode pass, and are logged and counted', async () => {
    const { pod, got } = await api([{ ...noAdmin, audit: true }], { connections });
    const web = await mesh.pod('web', { self: { connections } });
    const talk = new Requests(web.dial(8080));
    expect(await talk.get('/admin/x')).toBe('200 GET /admin/x');
    expect(await talk.get('/items')).toBe('200 GET /items');
    talk.socket.destroy();
    expect(got).toEqual(['GET /admin/x', 'GET /items']);
    expect(pod.lines.filter(({ msg }) => msg === 'audited by authorization rules')).toEqual([
      expect.objectContaining({ rules: ['no-admin'], wouldBe: 'denied', 'url.path': '/admin/x' }),
    ]);
    expect(await decisions(pod, 'no-admin', 'audited')).toBe(1);
  });

  test('are judged by conditions, one that fails counting against them', async () => {
    const team = rule(
      'team',
      'Allow',
      { paths: ['/*'] },
      { when: 'request.headers["x-team"] == "a" && request.path != "/b"' },
    );
    const night = rule('odd', 'Deny', { paths: ['/odd'] }, { when: 'request.headers["x-odd"] == "yes"' });
    const { pod, got, change } = await api([], { connections, accessLog: 'None' });
    const web = await mesh.pod('web', { self: { connections } });
    const talk = new Requests(web.dial(8080));
    expect(await talk.get('/a')).toBe('200 GET /a');
    // Nobody has read this connection's requests so far, and from the middle nobody can: it cannot go on.
    await change(team, night);
    await until(() => talk.ended, 'it is cut');
    const next = new Requests(web.dial(8080));
    const a = { fields: 'X-Team: a\r\n' };
    expect(await next.get('/a', a)).toBe('200 GET /a');
    expect(await next.get('/b', a)).toBe('403 denied');
    expect(await next.get('/a', { fields: 'X-Team: b\r\n' })).toBe('403 denied');
    expect(await next.get('/a')).toBe('403 denied');
    expect(await next.get('/odd', a)).toBe('403 denied');
    expect(await next.get('/odd', { fields: 'X-Team: a\r\nX-Odd: no\r\n' })).toBe('200 GET /odd');
    next.socket.destroy();
    expect(got).toEqual(['GET /a', 'GET /a', 'GET /odd']);
    expect(await counted(pod, 'tabard_authorization_condition_failures_total', 'rule="team"')).toBe(1);
    expect(await counted(pod, 'tabard_authorization_condition_failures_total', 'rule="odd"')).toBe(1);
  });
});

describe('on a port that does not speak HTTP', () => {
  test('a rule that asks for requests allows nobody', async () => {
    const { pod, got } = await api([reads], { protocol: 'TCP' });
    const web = await mesh.pod('web');
    expect(await ask(web.dial(8080), 'GET /items/1 HTTP/1.1\r\nHost: shop\r\n\r\n')).toBe('');
    await until(() => denials(pod).length === 1, 'the refusal is logged');
    expect(got).toEqual([]);
  });

  test('a Deny rule that asks for requests denies everybody', async () => {
    const { pod } = await api([noAdmin], { protocol: 'TCP' });
    const web = await mesh.pod('web');
    expect(await ask(web.dial(8080), 'GET /items/1 HTTP/1.1\r\nHost: shop\r\n\r\n')).toBe('');
    await until(() => denials(pod).length === 1, 'the refusal is logged');
    expect(denials(pod)[0]).toMatchObject({ detail: expect.stringContaining('rule no-admin') });
  });
});

test.each(['Permissive', 'Disabled'] as const)('requests without TLS are judged where the mode is %s', async (mode) => {
  const { pod, got } = await api([reads], { mode });
  const talk = new Requests(pod.knock());
  expect(await talk.get('/items/1')).toBe('200 GET /items/1');
  expect(await talk.get('/other')).toBe('403 denied');
  talk.socket.destroy();
  expect(got).toEqual(['GET /items/1']);
});

test('what is no HTTP on a port that speaks it is refused as malformed, and nothing of it reaches the application', async () => {
  const { pod, got } = await api([reads]);
  const web = await mesh.pod('web');
  const socket = web.dial(8080);
  const ended = received(socket);
  socket.write('\x16\x03\x01 no HTTP\r\n\r\n');
  expect((await ended).text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  await until(() => refusals(pod).some(({ reason }) => reason === 'malformed'), 'the refusal is logged');
  expect(got).toEqual([]);
  if (!socket.destroyed) {
    socket.destroy();
    await once(socket, 'close');
  }
});
