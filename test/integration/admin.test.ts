// Probes and metrics of the operator over real sockets, with and without IPv6.
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { type Admin, startAdmin } from '../../lib/http/admin.ts';
import { Metrics } from '../../lib/runtime/metrics.ts';

jest.setTimeout(30_000);

const running: Admin[] = [];
afterEach(async () => {
  for (const admin of running.splice(0)) await admin.close();
});

async function started(notReady: () => readonly string[] = () => []) {
  const metrics = new Metrics();
  metrics.counter({ name: 'seen_total', help: 'x' }).inc();
  const admin = await startAdmin({ notReady, metrics }, 0);
  running.push(admin);
  return async (path: string, host: string = '127.0.0.1', init: RequestInit = {}) => {
    const answer = await fetch(`http://${host}:${admin.port}${path}`, init);
    return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
  };
}

describe('the admin server', () => {
  test('says that it is alive, over IPv4 and IPv6', async () => {
    const ask = await started();
    expect(await ask('/live')).toMatchObject({ status: 200, text: 'ok\n' });
    expect(await ask('/live', '[::1]')).toMatchObject({ status: 200 });
  });

  test('says why it is not ready, and turns as the reasons go', async () => {
    let reasons = ['pods: not listed yet', 'control API: not listening yet'];
    const ask = await started(() => reasons);
    expect(await ask('/ready')).toMatchObject({
      status: 503,
      text: 'pods: not listed yet\ncontrol API: not listening yet\n',
    });
    reasons = [];
    expect(await ask('/ready')).toMatchObject({ status: 200, text: 'ok\n' });
  });

  test('gives metrics in the text format of Prometheus', async () => {
    const ask = await started();
    const { status, type, text } = await ask('/metrics');
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(text).toContain('seen_total 1');
  });

  test('answers nothing else, and takes nothing in', async () => {
    const ask = await started();
    for (const path of ['/', '/config', '/live/..', '/debug']) expect((await ask(path)).status).toBe(404);
    expect((await ask('/ready', '127.0.0.1', { method: 'POST', body: 'x' })).status).toBe(404);
  });

  test('serves where there is no IPv6', async () => {
    const script = `
      import { startAdmin } from '${resolve(import.meta.dirname, '../../lib/http/admin.ts')}';
      const metrics = { contentType: 'text/plain', text: () => Promise.resolve('') };
      const admin = await startAdmin({ notReady: () => [], metrics }, 0);
      console.log((await fetch('http://127.0.0.1:' + admin.port + '/live')).status);
      await admin.close();
    `;
    const inside = `ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && exec "$@"`;
    const node = [process.execPath, '--no-warnings', '--input-type=module', '-e', script];
    const { stdout } = await promisify(execFile)('unshare', ['--net', 'sh', '-c', inside, 'sh', ...node]);
    expect(stdout.trim()).toBe('200');
  });
});
