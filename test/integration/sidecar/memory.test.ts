// A gigabyte through two sidecars that live in a process of their own: whole, and without their memory following it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { resolve } from 'node:path';
import { afterEach, expect, test } from '@jest/globals';
import { leashed } from '../../../hack/leash.ts';

const pairProcess = resolve(import.meta.dirname, '../../support/pairprocess.ts');
const total = 1024 * 1024 * 1024;
const block = Buffer.alloc(256 * 1024, 'tabard');
const ends: (() => unknown)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

function residentMb(pid: number | undefined): number {
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}

test('carries 1 GB to a reader that pauses, in bounded memory', async () => {
  const server = createServer((socket) => {
    let sent = 0;
    const pump = (): void => {
      while (sent < total) {
        sent += block.length;
        if (!socket.write(block)) {
          socket.once('drain', pump);
          return;
        }
      }
      socket.end();
    };
    socket.on('error', () => undefined);
    pump();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => server.close());

  const { port } = server.address() as AddressInfo;
  const child = spawn(
    ...leashed(process.execPath, ['--disable-warning=ExperimentalWarning', pairProcess, String(port)]),
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  ends.push(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const before = residentMb(child.pid);

  const socket = connect(Number(String(line)), '127.0.0.1');
  let received = 0;
  let highest = before;
  let nextPause = total / 8;
  socket.on('data', (chunk: Buffer) => {
    received += chunk.length;
    // Not at the very end: the look after that pause would come when the pair may be gone.
    if (received < nextPause || received >= total) return;
    nextPause += total / 8;
    socket.pause();
    highest = Math.max(highest, residentMb(child.pid));
    setTimeout(() => {
      highest = Math.max(highest, residentMb(child.pid));
      socket.resume();
    }, 150);
  });
  const start = performance.now();
  await once(socket, 'end');
  const seconds = (performance.now() - start) / 1000;
  console.log(
    `1 GB in ${seconds.toFixed(1)} s; resident ${before.toFixed(0)} MB before, ${highest.toFixed(0)} MB at most (two sidecars and a control API)`,
  );
  expect(received).toBe(total);
  expect(highest - before).toBeLessThan(120);
}, 180_000);
