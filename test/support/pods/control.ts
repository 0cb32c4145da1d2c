// The control API and the CA of a test's pods, run in the namespace of their node. Says on which port it listens, then does as it is asked.
import { mkdirSync } from 'node:fs';
import { secretKeys } from '../../../lib/api/contract.ts';
import type { RevokedEntry } from '../../../lib/api/revocations.ts';
import { FakeControl, type TestDestination } from '../control.ts';
import { project } from '../interop/projected.ts';
import { DAY_MS, testAuthority, testLeaf } from '../pki.ts';
import { type SelfOptions, testSelf } from '../sidecar.ts';
import { answering, type Line } from './inside.ts';

/** What it can be asked. */
export type ControlQuestion =
  /** Writes a new certificate of a service as the kubelet projects it. */
  | { readonly do: 'certify'; readonly service: string; readonly folder: string; readonly lifetimeMs?: number }
  | { readonly do: 'self'; readonly service: string; readonly self: SelfOptions }
  | { readonly do: 'destination'; readonly key: string; readonly destination: TestDestination }
  /** What everybody is told of revocations. */
  | { readonly do: 'revoke'; readonly entries: readonly RevokedEntry[] }
  /** Drops every connection and listens again. */
  | { readonly do: 'hang up' }
  /** Status and text of a page of a pod's admin port; status 0 where nobody answers. */
  | { readonly do: 'get'; readonly url: string };

/** A page. */
export interface Page {
  readonly status: number;
  readonly text: string;
}

const [host = ''] = process.argv.slice(2);
const authority = await testAuthority();
const control = await FakeControl.start(authority, 0, host);
let revoked = 0;

async function certify(service: string, folder: string, lifetimeMs: number = DAY_MS): Promise<void> {
  const { certificate, key, bundle } = await testLeaf(authority, { service, lifetimeMs });
  mkdirSync(folder, { recursive: true });
  const texts = { [secretKeys.certificate]: certificate, [secretKeys.key]: key, [secretKeys.trustBundle]: bundle };
  project(folder, Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)])));
}

async function hangUp(): Promise<void> {
  const { port } = control;
  await control.stop();
  await control.listen(port, host);
}

async function get(url: string): Promise<Page> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    return { status: answer.status, text: await answer.text() };
  } catch {
    return { status: 0, text: '' };
  }
}

function answer(asked: ControlQuestion): unknown {
  switch (asked.do) {
    case 'certify':
      return certify(asked.service, asked.folder, asked.lifetimeMs);
    case 'self':
      return control.setSelf(testSelf(asked.service, authority.certificate, asked.self));
    case 'destination':
      return control.setDestination(asked.key, asked.destination);
    case 'revoke':
      revoked += 1;
      return control.setRevocations({ number: revoked, entries: asked.entries });
    case 'hang up':
      return hangUp();
    case 'get':
      return get(asked.url);
  }
}

answering((question: Line) => answer(question as unknown as ControlQuestion));
process.stdout.write(`${JSON.stringify({ port: control.port, identity: control.identity })}\n`);
