// One flood of the benchmark: `node hostile.ts <JSON of HostileOrder>`. Says `ready` when its connections stand, begins at the first line that it is told, and
// says at the second one what came of it.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { Hostile } from '../../test/support/floods/hostile.ts';
import { floods } from '../../test/support/floods/kinds.ts';

/** What it is told. */
export interface HostileOrder {
  readonly flood: string;
  /** Its own address. */
  readonly from: string;
  readonly host: string;
  readonly port: number;
  /** Folder with the certificate of a client of the mesh. */
  readonly tls: string;
  readonly serverName: string;
}

const order = JSON.parse(process.argv[2] ?? '{}') as HostileOrder;
const flood = floods.find(({ name }) => name === order.flood);
if (flood === undefined) throw new Error(`there is no flood ${order.flood}`);
const [cert, key, ca] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) => readFileSync(join(order.tls, name)));

async function dial(): Promise<Duplex> {
  const raw = connect({ host: order.host, port: order.port, localAddress: order.from, noDelay: true });
  if (flood?.protocol === 'silent') {
    await once(raw, 'connect');
    return raw;
  }
  // The name of a service's certificate is a URI; the chain is verified.
  const checks = { servername: order.serverName, checkServerIdentity: () => undefined };
  const socket = connectTls({ socket: raw, cert, key, ca, ...checks });
  await once(socket, 'secureConnect');
  return socket;
}

const hostile = new Hostile(flood, dial);
while (!hostile.complete) await delay(20);
console.log('ready');
const told = createInterface(process.stdin);
told.once('line', () => {
  hostile.act();
  told.once('line', () => {
    console.log(JSON.stringify(hostile.counts));
    process.exit(0);
  });
});
// Who started it is gone: so is the benchmark.
process.stdin.on('end', () => process.exit(0));
