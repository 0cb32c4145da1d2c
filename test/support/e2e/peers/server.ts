// `server FOLDER PORT`: an HTTPS server that asks its clients for a certificate of the mesh, and takes up new files without a restart.
// It answers with when it was started and who the client is.
import { createServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { onSwap, readFolder } from './folder.ts';

const [, , folder = '', port = ''] = process.argv;
const started = new Date().toISOString();

const server = createServer(
  { ...readFolder(folder), requestCert: true, rejectUnauthorized: true },
  (request, response) => {
    const peer = (request.socket as TLSSocket).getPeerX509Certificate();
    response.end(JSON.stringify({ started, peer: peer?.subjectAltName, serial: peer?.serialNumber }));
  },
);
// Longer than any client of the suites is silent: a lasting connection ends only when something is wrong.
server.keepAliveTimeout = 600_000;
server.listen(Number(port), '::', () => console.log(`server: listening on ${port}`));
onSwap(folder, () => {
  server.setSecureContext(readFolder(folder));
  console.log('server: took up new files');
});
process.on('SIGTERM', () => process.exit(0));
