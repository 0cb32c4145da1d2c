// The application that hostile clients of the benchmark ask, beside the one of the healthy ones: `node application.ts <address> <port>`. Says when it listens.
import { createServer } from 'node:net';
import { floodedApplication } from '../../test/support/floods/application.ts';

const [, , host = '', port = '0'] = process.argv;
const application = floodedApplication();
const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => application.serve(socket));
server.listen({ port: Number(port), host, backlog: 1_024 }, () => console.log('ready'));
// Who started it is gone: so is the benchmark.
process.stdin.on('end', () => process.exit(0)).resume();
