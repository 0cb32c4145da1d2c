// Run in a namespace: calls each of its arguments (`tcp|udp:<host>:<port>`, from port DIAL_FROM if it is set) and prints, as one JSON array, what the one who
// was reached said, or the error code, or `timeout`.
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

const timeoutMs = Number(process.env['DIAL_TIMEOUT_MS'] ?? 10_000);
const from = process.env['DIAL_FROM'];
const localPort = from === undefined ? {} : { localPort: Number(from) };

function dial(argument: string): Promise<unknown> {
  const { protocol, host = '', port } = /^(?<protocol>tcp|udp):(?<host>.+):(?<port>\d+)$/.exec(argument)?.groups ?? {};
  return new Promise((resolve) => {
    setTimeout(() => resolve('timeout'), timeoutMs).unref();
    if (protocol === 'udp') {
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      socket.on('message', (message) => resolve(JSON.parse(message.toString())));
      socket.on('error', (error) => resolve(String(error)));
      socket.send('hello', Number(port), host);
    } else {
      let answer = '';
      const socket = connect({ host, port: Number(port), ...localPort });
      socket.on('data', (data) => (answer += data.toString()));
      socket.on('end', () => resolve(JSON.parse(answer)));
      socket.on('error', (error) => resolve('code' in error ? error.code : error.message));
    }
  });
}

process.stdout.write(JSON.stringify(await Promise.all(process.argv.slice(2).map(dial))), () => process.exit(0));
