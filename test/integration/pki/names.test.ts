// The identity that we read in a certificate of whoever, through the text that Node makes of its names, is the one that Go reads in its bytes. The
// names are generated from a fixed seed and try to be something else; what Tabard itself issues is in test/unit/lib/pki/names.test.ts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { run } from '../../../hack/cluster/run.ts';
import { identityOf, parseIdentity } from '../../../lib/pki/identity.ts';
import { generateKey } from '../../../lib/pki/keys.ts';
import { hostileLeaf, hostileNames } from '../../support/hostile.ts';
import { testAuthority } from '../../support/pki.ts';
import { runs, runsTimeout } from '../../support/runs.ts';

const folder = mkdtempSync(join(tmpdir(), 'tabard-names-'));
afterAll(() => rmSync(folder, { recursive: true }));

test(
  'Go and we read the same identity, or one of us none',
  async () => {
    const authority = await testAuthority();
    const { publicKey } = await generateKey('ECDSA-P256');
    const ours = fc.sample(hostileNames, runs(500)).map((names, at) => {
      const certificate = hostileLeaf(names, authority, publicKey);
      const path = join(folder, `${at}.der`);
      writeFileSync(path, certificate.raw);
      return { path, identity: identityOf(certificate) };
    });
    const input = ours.map(({ path }) => `${path}\n`).join('');
    const env = { GOFLAGS: '', GOWORK: 'off', GO111MODULE: 'off' };
    const cwd = join(import.meta.dirname, '../../support/matrix');
    const said = await run('go', ['run', 'names.go'], { input, cwd, env, timeoutMs: runsTimeout(240_000) });
    const theirs = said
      .trimEnd()
      .split('\n')
      .map((line): readonly string[] | null => JSON.parse(line));
    expect(theirs).toHaveLength(ours.length);
    let agreed = 0;
    for (const [at, { identity }] of ours.entries()) {
      const uris = theirs[at] ?? null;
      if (uris === null) continue;
      const [only = ''] = uris;
      const wanted = uris.length === 1 && parseIdentity(only) !== undefined ? only : undefined;
      expect({ at, identity }).toEqual({ at, identity: wanted });
      if (identity !== undefined) agreed += 1;
    }
    expect(agreed).toBeGreaterThan(20);
  },
  runsTimeout(300_000),
);
