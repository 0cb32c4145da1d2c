import { describe, expect, test } from '@jest/globals';
import { readLock } from '../../../hack/image/debian.ts';
import { licenseTexts } from '../../../hack/image/licenses.ts';
import { pushCommands } from '../../../hack/image/push.ts';

describe('packages.lock.json', () => {
  test('names every package once per set, with a version and the digest of its archive', async () => {
    const { architecture, sets } = await readLock();
    expect(architecture).toBe('amd64');
    for (const [set, { roots, packages }] of Object.entries(sets)) {
      const names = packages.map(({ name }) => name);
      expect({ set, names }).toEqual({ set, names: [...new Set(names)].sort() });
      expect(packages.filter(({ version, sha256 }) => version === '' || !/^[0-9a-f]{64}$/.test(sha256))).toEqual([]);
      expect(roots.length).toBeGreaterThan(0);
    }
  });
});

describe('licenseTexts', () => {
  test('names each package of the sources once, scoped and nested ones too', () => {
    const texts = licenseTexts(process.cwd(), [
      'lib/errors.ts',
      'node_modules/pino/pino.js',
      'node_modules/pino/lib/tools.js',
      'node_modules/@kubernetes/client-node/dist/index.js',
    ]);
    expect(texts.match(/^==== .*$/gm)).toEqual([
      expect.stringMatching(/^==== @kubernetes\/client-node \d.*\(Apache-2.0\)$/),
      expect.stringMatching(/^==== pino \d.*\(MIT\)$/),
    ]);
    expect(texts).toContain('The MIT License');
  });
});

describe('pushCommands', () => {
  const request = { archive: '/a.tar', from: 'tabard.dev/tabard:0.1.0', to: 'registry.example/x/tabard:0.1.0' };

  test('need no daemon for crane and skopeo', () => {
    expect(pushCommands('crane', request)).toEqual([['push', '/a.tar', request.to]]);
    expect(pushCommands('skopeo', request)).toEqual([
      ['copy', `docker-archive:/a.tar:${request.from}`, `docker://${request.to}`],
    ]);
  });

  test('take plain HTTP for a registry on this machine, where the tool must be told', () => {
    const local = { ...request, to: 'localhost:5001/tabard:0.1.0' };
    expect(pushCommands('skopeo', local)[0]).toContain('--dest-tls-verify=false');
    expect(pushCommands('podman', local)[2]).toContain('--tls-verify=false');
    expect(pushCommands('docker', local)[2]).toEqual(['push', local.to]);
    expect(pushCommands('skopeo', { ...request, to: 'localhost.example/tabard:0.1.0' })[0]).not.toContain(
      '--dest-tls-verify=false',
    );
  });

  test.each(['podman', 'docker'] as const)('load, tag and push with %s', (tool) => {
    expect(pushCommands(tool, request)).toEqual([
      ['load', '--input', '/a.tar'],
      ['tag', request.from, request.to],
      ['push', request.to],
    ]);
  });
});
