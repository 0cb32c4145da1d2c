// A lock that the Debian archive has moved on from: the build goes on with what is there, and says so.
import { expect, test } from '@jest/globals';
import { packagesOf } from '../../../hack/image/packages.ts';

const gone = { name: 'libatomic1', version: '0.0-gone', sha256: '0'.repeat(64) };
const lock = { architecture: 'amd64', sets: { one: { roots: ['libatomic1'], packages: [gone] } } };

test('a locked version that is gone is replaced by the one of today, with a warning that says what to do', async () => {
  const warnings: string[] = [];
  const packages = await packagesOf('one', { lock, warn: (text) => warnings.push(text) });
  const found = packages.find(({ name }) => name === 'libatomic1');
  expect(found?.version).toMatch(/^\d+\./);
  expect(found?.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(found).not.toEqual(gone);
  expect(warnings).toEqual([expect.stringMatching(/^WARNING: .*hack\/image\/lock\.ts/s)]);
}, 120_000);

test('a set that the lock does not have is refused with what to do', async () => {
  await expect(packagesOf('two', { lock })).rejects.toThrow('has no set "two"; add its roots');
});
