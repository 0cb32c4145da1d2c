// A process with two sidecars in a row, for tests that look at what a sidecar costs: `node pairprocess.ts <application port>`. Prints the
// port on which the first one listens; what goes in there reaches the application through both.
import { Mesh } from './pocketmesh.ts';

const applicationPort = Number(process.argv[2]);
const mesh = await Mesh.start();
const server = await mesh.pod('server', { applicationPort });
const client = await mesh.pod('client', { applicationPort });
mesh.publish(applicationPort, [server]);
console.log(client.core.outbound.port);
process.on('SIGTERM', () => process.exit(0));
