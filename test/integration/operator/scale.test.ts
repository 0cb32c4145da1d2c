// What many services cost the operator in memory, measured in a process of its own after a full collection, so that neither other
// work on the machine nor the moment of a collection shows. The whole measurement with a real API server is `make bench-issuance`.
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, jest, test } from '@jest/globals';

jest.setTimeout(120_000);

const program = resolve(import.meta.dirname, '../../support/scale.ts');

interface Measured {
  readonly cachedBytes: number;
  readonly meshBytes: number;
  readonly kept: { readonly sizes: { readonly pods: number }; readonly secrets: number };
}

async function measured(services: number): Promise<Measured> {
  const args = ['--expose-gc', '--disable-warning=ExperimentalWarning', program, String(services)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 110_000 });
  return JSON.parse(stdout) as Measured;
}

describe('scale and memory', () => {
  test('cert-manager#4722, #3748: a service with its certificate and two pods takes no more than 18 KB of the heap', async () => {
    const { cachedBytes, meshBytes, kept } = await measured(2_000);
    expect(kept).toEqual({ sizes: expect.objectContaining({ pods: 4_000 }), secrets: 2_000 });
    // It is 14 KB now: ten thousand of them are below 150 MB, and with what a Node process takes anyway below 350 MB.
    expect(cachedBytes + meshBytes).toBeLessThan(18_000);
    expect(cachedBytes).toBeGreaterThan(1_000);
    expect(meshBytes).toBeGreaterThan(500);
  });
});
