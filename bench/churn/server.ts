// The application behind a churned sidecar, in its pod's namespace: does with each connection what the first line asks for, and answers HTTP.
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { answering } from '../../test/support/pods/inside.ts';
import { HTTP_PORT, PLAIN_PORT } from './ports.ts';

const block = Buffer.alloc(64 * 1024, 'tabard');

/** Sends so many blocks, as fast as they are taken, and ends. */
function send(socket: Socket, blocks: number): void {
  let left = blocks;
  const go = (): void => {
    while (left > 0) {
      left -= 1;
      if (!socket.write(block)) return void socket.once('drain', go);
    }
    socket.end();
  };
  go();
}

function serve(socket: Socket): void {
  let rest = '';
  let isLate = false;
  socket.on('error', () => undefined);
  socket.on('end', () => {
    if (isLate) socket.write('late\n');
    socket.end();
  });
  socket.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [word = '', number = ''] = line.split(' ');
      if (word === 'reset') return void socket.resetAndDestroy();
      if (word === 'close') return void socket.end();
      if (word === 'half') isLate = true;
      else if (word === 'body') send(socket, Number(number));
      else if (socket.writable) socket.write(`${line}\n`);
    }
  });
}

createServer({ allowHalfOpen: true, noDelay: true }, serve).listen(PLAIN_PORT, '0.0.0.0');
createHttpServer((_, answer) => answer.end('hello')).listen(HTTP_PORT, '0.0.0.0', () => {
  process.stdout.write('{"listening":true}\n');
});
answering(() => undefined);
