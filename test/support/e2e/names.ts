// Names that the set-up of the end-to-end suites and the suites themselves share.
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * The cluster of the end-to-end suites stands beside one that a person may have up. TABARD_E2E_NAME and TABARD_E2E_RANGE name another, so
 * that two runs do not meet.
 */
export const e2eCluster = {
  name: process.env['TABARD_E2E_NAME'] ?? 'tabard-e2e',
  range: process.env['TABARD_E2E_RANGE'] ?? '10.197',
} as const;

/** Where the set-up leaves what the suites need to know. */
export const e2eStateFile = join(tmpdir(), `${e2eCluster.name}.json`);

/** Namespace of Tabard itself. */
export const system = 'tabard-system';
