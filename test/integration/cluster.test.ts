// The embedded cluster's control-plane form: it serves, it stops without a trace, and a crash is cleaned up by the next start.
// The full form is what the end-to-end suites run on.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { type ControlPlane, startControlPlane, stopCluster } from '../../hack/cluster/api.ts';
import { stateFolder } from '../../hack/cluster/cache.ts';
import { signal, startTimeOf, waitUntil } from '../../hack/cluster/process.ts';
import { leashed } from '../../hack/leash.ts';

const MINUTES = 60_000;
// The very first run on a machine compiles Kubernetes.
const BUILD_MS = 30 * MINUTES;
const api = resolve(import.meta.dirname, '../../hack/cluster/api.ts');

/** Process numbers in the pid files of a state folder, by daemon. */
function pidsIn(state: string): ReadonlyMap<string, number> {
  const folder = join(state, 'pids');
  if (!existsSync(folder)) return new Map();
  const files = readdirSync(folder).filter((name) => name.endsWith('.pid'));
  return new Map(
    files.map((name) => [name.slice(0, -4), Number.parseInt(readFileSync(join(folder, name), 'utf8'), 10)]),
  );
}

function alive(pids: Iterable<number>): readonly number[] {
  return [...pids].filter((pid) => startTimeOf(pid) !== undefined);
}

/** Another process that starts a control plane and then only waits to be killed. */
function starter(name: string): ChildProcess {
  const code = `import { startControlPlane } from ${JSON.stringify(api)};
    await startControlPlane({ name: ${JSON.stringify(name)} });
    console.log('up');
    setInterval(() => undefined, 1000);`;
  return spawn(...leashed(process.execPath, ['--input-type=module', '-e', code]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

describe('a control plane', () => {
  let plane: ControlPlane | undefined;

  afterAll(async () => {
    await plane?.stop();
  });

  test(
    'starts, serves and keeps its objects over a restart of the API server',
    async () => {
      plane = await startControlPlane({ controllerManager: true });
      expect(plane.server).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
      expect(await plane.kubectl(['version'])).toMatch(/Server Version: v1\.37\.1/);

      await plane.kubectl(['create', 'namespace', 'kept']);
      await plane.restartApiServer();

      expect(await plane.kubectl(['get', 'namespace', 'kept', '-o', 'name'])).toBe('namespace/kept\n');
      const made = await waitUntil(
        async () =>
          (await plane?.kubectl(['-n', 'kept', 'get', 'serviceaccounts', '-o', 'name']))?.includes('default') ?? false,
        20_000,
      );
      expect(made).toBe(true);
    },
    BUILD_MS,
  );

  test(
    'serves the kinds that Tabard needs',
    async () => {
      const kinds = (await plane?.kubectl(['api-resources', '-o', 'name'])) ?? '';
      for (const kind of [
        'podcertificaterequests.certificates.k8s.io',
        'clustertrustbundles.certificates.k8s.io',
        'validatingadmissionpolicies.admissionregistration.k8s.io',
        'mutatingwebhookconfigurations.admissionregistration.k8s.io',
        'networkpolicies.networking.k8s.io',
      ]) {
        expect(kinds).toContain(kind);
      }
    },
    MINUTES,
  );

  test(
    'stops leaving no process, no socket and no folder, also when asked twice',
    async () => {
      const name = plane?.name ?? '';
      const pids = pidsIn(stateFolder(name));
      expect([...pids.keys()].sort()).toEqual(['etcd', 'kube-apiserver', 'kube-controller-manager']);
      expect(alive(pids.values())).toHaveLength(3);

      await plane?.stop();
      await plane?.stop();

      expect(alive(pids.values())).toEqual([]);
      expect(existsSync(stateFolder(name))).toBe(false);
    },
    MINUTES,
  );
});

describe('after a crash', () => {
  const name = `cr-${process.pid % 100_000}`;

  afterAll(async () => {
    await stopCluster(name);
  });

  test(
    'of the process that started it, it ends too, and the next start of any control plane removes what was left',
    async () => {
      const child = starter(name);
      await once(child.stdout ?? child, 'data');
      const left = pidsIn(stateFolder(name));
      child.kill('SIGKILL');
      await once(child, 'close');
      expect(left.size).toBe(2);
      expect(await waitUntil(() => alive(left.values()).length === 0, 30_000)).toBe(true);
      expect(existsSync(stateFolder(name))).toBe(true);

      const next = await startControlPlane();

      try {
        expect(existsSync(stateFolder(name))).toBe(false);
        expect(await next.kubectl(['get', 'namespaces', '-o', 'name'])).toContain('namespace/default');
      } finally {
        await next.stop();
      }
    },
    2 * MINUTES,
  );

  test(
    'half-way through a start, a start of the same name works and the first daemons are gone',
    async () => {
      const child = starter(name);
      expect(await waitUntil(() => pidsIn(stateFolder(name)).has('etcd'), 30_000)).toBe(true);
      child.kill('SIGKILL');
      await once(child, 'close');
      const left = pidsIn(stateFolder(name));

      const next = await startControlPlane({ name });

      try {
        expect(alive(left.values())).toEqual([]);
        expect(await next.kubectl(['get', '--raw', '/readyz'])).toBe('ok');
      } finally {
        await next.stop();
      }
    },
    2 * MINUTES,
  );

  test(
    'of the database, stopping still ends the API server',
    async () => {
      const plane = await startControlPlane({ name });
      const pids = pidsIn(stateFolder(name));
      signal(pids.get('etcd') ?? 0, 'SIGKILL');

      await plane.stop();

      expect(alive(pids.values())).toEqual([]);
    },
    2 * MINUTES,
  );
});
