// The control API and the CA of a test's pods, run in the namespace of their node. Says on which port it listens, then does as it is asked.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { secretKeys } from '../../../lib/api/contract.ts';
import { FakeControl, type TestDestination } from '../control.ts';
import { testAuthority, testLeaf } from '../pki.ts';
import { type SelfOptions, testSelf } from '../sidecar.ts';
import { answering, type Line } from './inside.ts';

/** What it can be asked. */
export type ControlQuestion =
  /** Writes a certificate of a service as the kubelet would mount it. */
  | { readonly do: 'certify'; readonly service: string; readonly folder: string }
  | { readonly do: 'self'; readonly service: string; readonly self: SelfOptions }
  | { readonly do: 'destination'; readonly key: string; readonly destination: TestDestination }
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

async function certify(service: string, folder: string): Promise<void> {
  const { certificate, key, bundle } = await testLeaf(authority, { service });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, secretKeys.certificate), certificate);
  writeFileSync(join(folder, secretKeys.key), key);
  writeFileSync(join(folder, secretKeys.trustBundle), bundle);
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
      return certify(asked.service, asked.folder);
    case 'self':
      return control.setSelf(testSelf(asked.service, authority.certificate, asked.self));
    case 'destination':
      return control.setDestination(asked.key, asked.destination);
    case 'get':
      return get(asked.url);
  }
}

answering((question: Line) => answer(question as unknown as ControlQuestion));
process.stdout.write(`${JSON.stringify({ port: control.port, identity: control.identity })}\n`);
