// Run in a namespace: listens where its arguments say (`tcp|udp:<host>:<port>`) and tells each caller where it arrived and
// where it had wanted to go. A caller of `reset:<host>:<port>` is reset instead. Prints one line when all are ready.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { openOriginalDestination } from '../../../sidecar/destination/original.ts';

const readOriginal = openOriginalDestination();

for (const argument of process.argv.slice(2)) {
  const {
    protocol = '',
    host = '',
    port = '',
  } = /^(?<protocol>tcp|udp|reset):(?<host>.+):(?<port>\d+)$/.exec(argument)?.groups ?? {};
  const name = `${process.env['ROLE'] ?? 'listener'}:${port}`;
  if (protocol === 'udp') {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (_message, from) => socket.send(JSON.stringify({ at: name }), from.port, from.address));
    socket.bind(Number(port), host);
    await once(socket, 'listening');
  } else {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      if (protocol === 'reset') return void socket.resetAndDestroy();
      const { family, address, port: wanted } = readOriginal(socket) ?? {};
      socket.end(
        JSON.stringify({ at: name, ...(address === undefined ? {} : { family, original: `${address} ${wanted}` }) }),
      );
    });
    server.listen(Number(port), host);
    await once(server, 'listening');
  }
}
process.stdout.write('ready\n');
