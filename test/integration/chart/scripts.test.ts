// The three programs of `helm test`, run as the pods run them: each must fail when what it is to prove does not hold.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { leashed } from '../../../hack/leash.ts';
import { chart } from '../../support/helm.ts';

// Each test starts processes, beside whatever else this machine does.
jest.setTimeout(60_000);

const servers: Server[] = [];
const children: ChildProcess[] = [];

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(
    servers.splice(0).map(async (server) => {
      server.close();
      await once(server, 'close');
    }),
  );
});

function start(script: string, env: Readonly<Record<string, string>> = {}): ChildProcess {
  const source = readFileSync(join(chart, 'files', `test-${script}.mjs`), 'utf8');
  const child = spawn(...leashed(process.execPath, ['--input-type=module', '-e', source]), {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

async function outcome(
  script: string,
  env: Readonly<Record<string, string>>,
): Promise<readonly [number | null, string]> {
  const child = start(script, env);
  const ended = once(child, 'close') as Promise<[number | null]>;
  const said = child.stdout === null ? '' : await text(child.stdout);
  return [(await ended)[0], said];
}

async function listening(server: Server): Promise<string> {
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

const answering = (body: string) => listening(createHttpServer((_, response) => response.end(body)));
const raw = (treat: (socket: Socket) => void) =>
  listening(
    createServer((socket) => {
      socket.on('error', () => undefined).resume();
      treat(socket);
    }),
  );

/** A loopback address where nobody listens. */
async function nobody(): Promise<string> {
  const url = await raw(() => undefined);
  const server = servers.pop();
  server?.close();
  return url;
}

const metrics = (count: number) => `# HELP tabard_handshakes_total x
tabard_handshakes_total{direction="inbound",result="ok",reason=""} 7
tabard_handshakes_total{direction="outbound",result="failed",reason="unknown_ca"} 7
tabard_handshakes_total{direction="outbound",result="ok",reason=""} ${count}
`;

/** The admin port of a sidecar that has made so many handshakes; its address as the client is told. */
async function sidecar(handshakes: number): Promise<string> {
  const url = await listening(
    createHttpServer((request, response) => response.end(request.url === '/ready' ? 'ok\n' : metrics(handshakes))),
  );
  return url.replace(/\/$/, '');
}

describe('the injected client', () => {
  test('is content with an answer for which its sidecar made a handshake', async () => {
    const env = { SERVER: await answering('hello'), SIDECAR: await sidecar(1) };
    expect(await outcome('client', env)).toEqual([
      0,
      'ok: the injected client was answered "hello" over mutual TLS (handshakes: 1).\n',
    ]);
  });

  test('is not content with an answer in plaintext', async () => {
    const env = { SERVER: await answering('hello'), SIDECAR: await sidecar(0) };
    const [code, said] = await outcome('client', env);
    expect(said).toContain('FAILED: the call was answered, but the sidecar made no TLS handshake');
    expect(code).toBe(1);
  });

  test('waits for a server that is late', async () => {
    let calls = 0;
    const late = await listening(
      createHttpServer((_, response) => {
        calls += 1;
        if (calls === 1) response.destroy();
        else response.end('late');
      }),
    );
    const [code, said] = await outcome('client', { SERVER: late, SIDECAR: await sidecar(2) });
    expect(said).toContain('answered "late"');
    expect(code).toBe(0);
  });

  test('gives up on a server that never answers, and says why', async () => {
    const env = { SERVER: await nobody(), SIDECAR: await sidecar(1), PATIENCE_MS: '5000' };
    const [code, said] = await outcome('client', env);
    expect(said).toMatch(/^FAILED: .* did not answer as it should: .*ECONNREFUSED/);
    expect(said).toContain("The sidecar's readiness: ok\n");
    expect(said).toContain('result="failed",reason="unknown_ca"} 7');
    expect(code).toBe(1);
  });
});

describe('the client without a sidecar', () => {
  test.each([
    ['a connection that ends in order', (socket: Socket) => socket.on('data', () => socket.end())],
    ['a connection that is reset', (socket: Socket) => socket.on('data', () => socket.resetAndDestroy())],
  ])('is content with %s', async (_, treat) => {
    expect(await outcome('outsider', { SERVER: await raw(treat) })).toEqual([
      0,
      'ok: the client without a sidecar was refused.\n',
    ]);
  });

  test('is content with a refusal in words, and passes on its reason', async () => {
    const refusal =
      'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nx-tabard-reason: plaintext\r\nconnection: close\r\n\r\nno';
    const url = await raw((socket) => socket.on('data', () => socket.end(refusal)));
    expect(await outcome('outsider', { SERVER: url })).toEqual([
      0,
      'ok: the client without a sidecar was refused: plaintext.\n',
    ]);
  });

  test('is not content with a refusal by somebody else', async () => {
    const url = await listening(createHttpServer((_, response) => response.writeHead(403).end('not you')));
    const [code, said] = await outcome('outsider', { SERVER: url });
    expect(said).toContain('FAILED: plaintext was answered: "HTTP/1.1 403 Forbidden');
    expect(code).toBe(1);
  });

  test('is not content with an answer', async () => {
    const [code, said] = await outcome('outsider', { SERVER: await answering('hello') });
    expect(said).toContain('FAILED: plaintext was answered: "HTTP/1.1 200 OK');
    expect(code).toBe(1);
  });

  test('takes an unreachable server for no proof', async () => {
    const [code, said] = await outcome('outsider', { SERVER: await nobody() });
    expect(said).toContain('cannot be reached, so nothing is proven');
    expect(code).toBe(1);
  });

  test('takes silence for no proof', async () => {
    const [code, said] = await outcome('outsider', { SERVER: await raw(() => undefined), PATIENCE_MS: '300' });
    expect(said).toContain('neither answered nor ended');
    expect(code).toBe(1);
  });
});

describe('the server', () => {
  test('answers, and ends when told', async () => {
    const child = start('server', { PORT: '0' });
    if (child.stdout === null) throw new Error('the server has no output');
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = /listening on (\d+)/.exec(line.toString())?.[1];
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('hello from behind the sidecar');
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});
