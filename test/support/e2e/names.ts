// Names that the set-up of the end-to-end suites and the suites themselves share.
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The cluster of the end-to-end suites stands beside one that a person may have up. */
export const e2eCluster = { name: 'tabard-e2e', range: '10.197' } as const;

/** Where the set-up leaves what the suites need to know. */
export const e2eStateFile = join(tmpdir(), 'tabard-e2e.json');

/** Namespace of Tabard itself. */
export const system = 'tabard-system';
