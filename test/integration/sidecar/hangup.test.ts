// A control API that hangs up as soon as the handshake is done, as it does on a client that it refuses. In TLS 1.3 the client
// believes to be in by then.
import type { AddressInfo } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { afterEach, test } from '@jest/globals';
import { systemClock } from '../../../lib/clock.ts';
import { MemoryCertificateSource } from '../../../lib/runtime/credentials.ts';
import { ControlClient } from '../../../sidecar/control/client.ts';
import { dialControl } from '../../../sidecar/control/dial.ts';
import { kubeDeps } from '../../support/kubedeps.ts';
import { testAuthority, testLeaf } from '../../support/pki.ts';
import { until } from '../../support/pocketmesh.ts';

const stop = new AbortController();
let server: Server;
afterEach(async () => {
  stop.abort(new Error('the test is over'));
  await new Promise((done) => server.close(done));
});

test('is asked again and again: a client that was refused comes back when it is let in', async () => {
  const authority = await testAuthority();
  const operator = await testLeaf(authority, { namespace: 'tabard-system', service: 'tabard-operator' });
  const own = await testLeaf(authority, { service: 'web' });
  let asked = 0;
  server = createServer({ cert: operator.certificate, key: operator.key, ALPNProtocols: ['h2'] }, (socket) => {
    asked += 1;
    socket.on('error', () => undefined);
    socket.destroy();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const source = new MemoryCertificateSource();
  source.offer({ certificate: own.certificate, key: own.key, trustBundle: own.bundle }, systemClock.now());
  const peer = { host: '127.0.0.1', port, identity: operator.identity };
  const dial = () => dialControl({ peer, source, pushedBundle: () => undefined, clock: systemClock });
  const client = new ControlClient({ dial, clock: systemClock, logger: kubeDeps().logger });
  client.subscribe('/v1/self', () => undefined);
  const running = client.run(stop.signal);
  // Each wait is twice as long as the one before: five take some six seconds.
  await until(() => asked >= 5, 'it is asked the fifth time', 60_000);
  stop.abort(new Error('enough'));
  await running;
}, 90_000);
