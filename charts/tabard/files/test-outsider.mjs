// The client without a sidecar of `helm test`: its plaintext must be refused, either in words (403 with a header that names
// the reason) or by a connection that ends without an answer.
import { connect } from 'node:net';

const { hostname, port } = new URL(process.env.SERVER);
const socket = connect({ host: hostname, port: Number(port) });
let connected = false;
let answer = '';

function end(code, text) {
  console.log(text);
  process.exit(code);
}

socket.setTimeout(Number(process.env.PATIENCE_MS ?? 30_000), () => end(1, 'FAILED: the connection was neither answered nor ended.'));
socket.on('connect', () => {
  connected = true;
  socket.write(`GET / HTTP/1.1\r\nhost: ${hostname}\r\nconnection: close\r\n\r\n`);
});
socket.on('data', (bytes) => {
  answer += bytes.toString('latin1');
});
// A refused connection may end with a reset as well as with an orderly end.
socket.on('error', (error) => {
  if (!connected) end(1, `FAILED: ${hostname}:${port} cannot be reached, so nothing is proven: ${error.message}`);
});
socket.on('close', () => {
  const reason = /^HTTP\/1\.1 403 [\s\S]*\r\nx-tabard-reason: (\w+)\r\n/.exec(answer)?.[1];
  if (reason !== undefined) end(0, `ok: the client without a sidecar was refused: ${reason}.`);
  if (answer !== '') end(1, `FAILED: plaintext was answered: ${JSON.stringify(answer.slice(0, 80))}`);
  end(0, 'ok: the client without a sidecar was refused.');
});
