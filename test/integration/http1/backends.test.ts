// The gate in front of nginx, HAProxy, Envoy and Node: whatever it lets through, each of them must read as it did, and decide by the same path.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { progressOn } from '../../../hack/cluster/progress.ts';
import { interopTools } from '../../../hack/interop/tools.ts';
import type { RuleMatch } from '../../../lib/api/authorization.ts';
import { canonicalPath, resolvedPath } from '../../../lib/api/path.ts';
import { areaOf } from '../../support/http1/areas.ts';
import { type Backend, startBackends } from '../../support/http1/backends.ts';
import { pathCorpus, smugglingCorpus } from '../../support/http1/corpus.ts';
import { gated } from '../../support/http1/gated.ts';
import { spellings } from '../../support/http1/spellings.ts';
import { runsTimeout } from '../../support/runs.ts';

const minute = 60_000;
const names = ['nginx', 'HAProxy', 'Envoy', 'Node'];
/** Ends every connection in order, and shows that the request before it was read to its end. */
const sentinel = 'GET /sentinel HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n';

const deny: RuleMatch = { name: 'admin', effect: 'Deny', to: [{ paths: ['/admin', '/admin/*', '/job:run'] }] };
const allow: RuleMatch = { name: 'open', effect: 'Allow', to: [{ paths: ['/open', '/open/*', '/see:all'] }] };
/** Those that somebody thought of, and random ones. */
const targets = [...pathCorpus, ...spellings(1000)];

let backends: readonly Backend[] = [];
const backend = (name: string): Backend => {
  const found = backends.find((each) => each.name === name);
  if (found === undefined) throw new Error(`${name} did not start`);
  return found;
};

beforeAll(async () => {
  backends = await startBackends(await interopTools(progressOn((line) => process.stderr.write(`${line}\n`))));
}, 20 * minute);
afterAll(async () => {
  for (const each of backends) await each.stop();
}, minute);

describe.each(names)('%s behind the gate', (name) => {
  test(
    'receives the very requests that the gate let through, whatever smugglers try',
    async () => {
      const { port, origin } = backend(name);
      const gate = await gated(port);
      const wrong: unknown[] = [];
      let passed = 0;
      for (const trick of smugglingCorpus) {
        origin.taken();
        const { exchanges, broken, got } = await gate.send(trick + sentinel, minute);
        const arrived = origin.taken().map(({ method, target }) => `${method} ${pathOf(target)}`);
        // What the back end itself refused never came to anybody.
        const through = exchanges
          .filter(({ status }) => status === 200)
          .map(({ method, target }) => `${method} ${pathOf(target)}`);
        passed += through.length;
        const ended = broken.length > 0 || through.at(-1) === 'GET /sentinel' || /HTTP\/1\.[01] [45]\d\d/.test(got);
        if (!ended || arrived.join() !== through.join()) wrong.push({ trick, through, arrived, broken, got });
      }
      await gate.stop();
      expect(wrong).toEqual([]);
      expect(passed).toBeGreaterThan(10);
    },
    5 * minute,
  );

  test(
    'is never reached at a path that is denied, nor at one that is not allowed, however it is written',
    async () => {
      const { port, origin } = backend(name);
      const denied = await gated(port, [deny]);
      const allowed = await gated(port, [allow]);
      const wrong: unknown[] = [];
      const passed = { denied: 0, allowed: 0 };
      for (const target of targets) {
        const request = `GET ${target} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`;
        for (const [way, gate] of Object.entries({ denied, allowed })) {
          origin.taken();
          const { got } = await gate.send(request, minute);
          const arrived = origin.taken();
          const area = /^x-area: (\w+)/im.exec(got)?.[1];
          const refused = /^HTTP\/1\.1 40[03] /.test(got) && arrived.length === 0;
          if (!refused && arrived.length > 0) passed[way === 'denied' ? 'denied' : 'allowed'] += 1;
          // What a back end refuses itself has no area.
          const isWrong = way === 'denied' ? area === 'admin' && !isNamesake(target) : (area ?? 'open') !== 'open';
          if (isWrong) wrong.push({ way, target, area, got });
        }
      }
      for (const trick of smugglingCorpus) {
        origin.taken();
        const { got } = await allowed.send(trick + sentinel.replace('/sentinel', '/open/sentinel'), minute);
        const arrived = origin.taken().map(({ target }) => pathOf(target));
        if (arrived.some((target) => !/^\/open(?:[/?]|$)/.test(target))) wrong.push({ trick, arrived, got });
      }
      await Promise.all([denied.stop(), allowed.stop()]);
      expect(wrong).toEqual([]);
      expect(passed.denied).toBeGreaterThan(50);
      expect(passed.allowed).toBeGreaterThan(20);
    },
    runsTimeout(5 * minute),
  );

  test(
    'takes every path that has a canonical form into the same area as that form',
    async () => {
      const { port, origin } = backend(name);
      const gate = await gated(port);
      const wrong: unknown[] = [];
      let judged = 0;
      for (const target of targets) {
        origin.taken();
        const canonical = canonicalPath(target);
        if (!canonical.ok) continue;
        const request = `GET ${target} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`;
        const { got } = await gate.send(request, minute);
        const area = /^x-area: (\w+)/im.exec(got)?.[1];
        const expected: readonly string[] = [areaOf(canonical.path), areaOf(resolvedPath(canonical.path))];
        judged += 1;
        if (area !== undefined && !expected.includes(area)) wrong.push({ target, canonical, area });
        if (area === undefined && !/^HTTP\/1\.[01] [45]/.test(got)) wrong.push({ target, got });
      }
      await gate.stop();
      expect(wrong).toEqual([]);
      expect(judged).toBeGreaterThan(50);
    },
    runsTimeout(2 * minute),
  );
});

/** The canonical path begins as `/admin` does, and goes on in the same segment. */
function isNamesake(target: string): boolean {
  const canonical = canonicalPath(target);
  return canonical.ok && /^\/admin[^/]/i.test(canonical.path);
}

/** Proxies may forward an absolute target in origin form. */
function pathOf(target: string): string {
  return target.replace(/^https?:\/\/[^/]+/, '');
}
