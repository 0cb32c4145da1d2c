// The sidecar's own program for tests that capture nothing: `node crewpod.ts`, with the environment that the webhook would write, and with
// TABARD_TEST_APPLICATION and TABARD_TEST_TARGET, the ports of its application and of where its application's connections go. What comes to
// 127.0.0.1 is of the application, what comes to any other address is for it. The first of its processes prints its ports.

import { runSidecar } from '../../sidecar/app.ts';
import { readConfig } from '../../sidecar/config.ts';
import { unmapped } from '../../sidecar/destination/key.ts';

const application = Number(process.env['TABARD_TEST_APPLICATION']);
const target = Number(process.env['TABARD_TEST_TARGET']);

process.exitCode = await runSidecar(readConfig(process.env), {
  original: ({ localAddress = '' }) => {
    const port = unmapped(localAddress) === '127.0.0.1' ? target : application;
    return { family: 4, address: '127.0.0.1', port };
  },
  isSamePort: () => true,
  started: ({ inbound, outbound }, adminPort) => {
    console.log(JSON.stringify({ msg: 'ports', inbound: inbound.port, outbound: outbound.port, admin: adminPort }));
  },
});
