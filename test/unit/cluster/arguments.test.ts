// The command line of the embedded cluster.

import { describe, expect, test } from '@jest/globals';
import { parseArguments } from '../../../hack/cluster/arguments.ts';
import { ClusterError } from '../../../hack/cluster/failure.ts';

describe('arguments', () => {
  test('fills in defaults', () => {
    expect(parseArguments(['up'])).toEqual({
      command: 'up',
      name: 'tabard',
      range: '10.199',
      state: undefined,
      controlPlaneOnly: false,
      withControllerManager: false,
      purge: false,
      rest: [],
    });
  });

  test('reads options before and after the command', () => {
    expect(parseArguments(['--name', 'x', 'up', '--range', '10.1', '--control-plane-only'])).toMatchObject({
      command: 'up',
      name: 'x',
      range: '10.1',
      controlPlaneOnly: true,
    });
  });

  test('passes everything after -- on, options too', () => {
    const request = parseArguments(['kubectl', '--name', 'x', '--', 'get', 'pods', '--name=y', '--', 'z']);
    expect(request).toMatchObject({ command: 'kubectl', name: 'x', rest: ['get', 'pods', '--name=y', '--', 'z'] });
  });

  test.each([[[]], [['help']], [['--help']], [['up', '--help']]])('shows help for %j', (args) => {
    expect(parseArguments(args)).toBeUndefined();
  });

  test.each([[['bogus']], [['up', '--bogus']], [['up', '--name']]])('refuses %j', (args) => {
    expect(() => parseArguments(args)).toThrow(ClusterError);
  });
});
