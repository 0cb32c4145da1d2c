// h2spec (cases for servers of HTTP/2 and HPACK) against a server, bare and behind a pair of sidecars whose gate reads it: whatever the
// server does well by itself it does well behind the gate.

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { toolPath } from '../../../hack/cluster/api.ts';
import { tryRun } from '../../../hack/cluster/run.ts';
import { captured } from '../../support/http2/captured.ts';
import { Mesh } from '../../support/pocketmesh.ts';

type Verdict = 'passed' | 'failed' | 'skipped';

let h2spec: string;
let mesh: Mesh;
const folder = mkdtempSync(join(tmpdir(), 'tabard-h2spec-'));

beforeAll(async () => {
  h2spec = await toolPath('h2spec');
  mesh = await Mesh.start();
}, 600_000);
afterAll(async () => {
  await mesh.end();
  rmSync(folder, { recursive: true });
});

/** A server that answers everything with a body of some octets. */
async function startServer(): Promise<number> {
  const server = createHttp2Server();
  server.on('session', (session) => {
    session.on('error', () => undefined);
    mesh.onEnd(() => session.destroy());
  });
  server.on('sessionError', () => undefined);
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => undefined);
    stream.resume();
    stream.respond({ ':status': 200, 'content-type': 'text/plain' });
    stream.end('a body of some octets');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  mesh.onEnd(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Where the server is found behind two sidecars. */
async function behindSidecars(port: number): Promise<number> {
  const self = {
    http: { hsts: 'max-age=60' },
    ports: [{ port, mode: 'Mutual', protocol: 'GRPC' }],
    authorization: { form: 1, rules: [{ name: 'no-admin', effect: 'Deny', to: [{ paths: ['/admin/*'] }] }] },
  } as const;
  const api = await mesh.pod('api', { applicationPort: port, self });
  mesh.publish(8080, [api]);
  const shop = await mesh.pod('shop');
  return captured(mesh, shop, 8080);
}

/** What every case says of a server. */
async function verdicts(name: string, port: number, seconds: number): Promise<ReadonlyMap<string, Verdict>> {
  const report = join(folder, `${name}.xml`);
  const args = ['--strict', '-h', '127.0.0.1', '-p', String(port), '-o', String(seconds), '-j', report];
  await tryRun(h2spec, args, { timeoutMs: 300_000 });
  const found = new Map<string, Verdict>();
  for (const [, attributes = '', rest = ''] of readFileSync(report, 'utf8').matchAll(
    /<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const of = (attribute: string): string => new RegExp(`${attribute}="([^"]*)"`).exec(attributes)?.[1] ?? '';
    const verdict = /<(?:failure|error)/.test(rest) ? 'failed' : rest.includes('<skipped') ? 'skipped' : 'passed';
    found.set(`${of('package')}: ${of('classname')}`, verdict);
  }
  return found;
}

const count = (of: ReadonlyMap<string, Verdict>): number => [...of.values()].filter((each) => each === 'passed').length;

test('whatever passes against the bare server passes behind the gate', async () => {
  const port = await startServer();
  const behind = await behindSidecars(port);
  const [bare, gated] = await Promise.all([verdicts('bare', port, 3), verdicts('gated', behind, 3)]);
  console.log(`h2spec: bare ${count(bare)} of ${bare.size}, behind the gate ${count(gated)} of ${gated.size}`);
  expect(bare.size).toBeGreaterThan(140);
  let worse = [...bare].filter(([name, verdict]) => verdict === 'passed' && gated.get(name) !== 'passed');
  // Cases have times to keep: what was late on a busy machine is on time in another run, and what is wrong is wrong in all of them.
  for (let run = 0; run < 3 && worse.length > 0; run += 1) {
    const again = await verdicts(`again-${run}`, behind, 10);
    worse = worse.filter(([name]) => again.get(name) !== 'passed');
  }
  expect(worse.map(([name]) => name)).toEqual([]);
}, 900_000);
