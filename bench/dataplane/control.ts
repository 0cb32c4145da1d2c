// The control API of the benchmark: the operator's own server, with a mesh of the benchmark's pods. It makes the CA and writes every pod's
// certificate before it says on which port it listens. Run in the node's namespace: `node control.ts <JSON of ControlOrder>`.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EffectivePolicy } from '../../lib/api/control.ts';
import { ControlBench } from '../../test/support/controlbench.ts';
import { pod, service, slice } from '../../test/support/meshbench.ts';
import { testAuthority, testLeaf } from '../../test/support/pki.ts';
import { dnsNameOf } from './contestant.ts';

/** What it is told. */
export interface ControlOrder {
  readonly host: string;
  readonly pods: readonly ControlPod[];
}

/** One pod, with the policy that governs it where it is Tabard's. */
export interface ControlPod {
  readonly name: string;
  readonly service: string;
  readonly address: string;
  /** Folder for its certificate. */
  readonly tls: string;
  readonly policy?: EffectivePolicy;
}

const { host, pods } = JSON.parse(process.argv[2] ?? '') as ControlOrder;
const authority = await testAuthority();
for (const { service: of, tls } of pods) {
  const { certificate, key, bundle } = await testLeaf(authority, { service: of, dnsNames: [dnsNameOf(of)] });
  mkdirSync(tls, { recursive: true });
  const files = { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': bundle, 'pair.pem': certificate + key };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(tls, name), text);
}
const { bench, server } = await ControlBench.start({ authority, host });
for (const { name, service: of, address, policy } of pods) {
  if (policy === undefined) continue;
  bench.policies.set(of, policy);
  bench.apply(
    pod({ name, service: of, ips: [address], readiness: 'ready' }),
    service({ name: of }),
    slice({ name: `${of}-x`, of, endpoints: [{ ip: address, pod: name }] }),
  );
}
console.log(server.port);
// Who started it is gone: so is the benchmark.
process.stdin.on('end', () => process.exit(0)).resume();
