// The application that floods are sent to: speaks both versions of HTTP, as the first octet says, and answers everything.
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Socket } from 'node:net';

const large = Buffer.alloc(4_194_304, 'large');

/** An application, for sockets that somebody else accepts. */
export interface FloodedApplication {
  serve(socket: Socket): void;
  /** Ends what is open of HTTP/1.1. */
  end(): void;
}

/** Makes one. Below /bulk/ it answers with four megabytes. */
export function floodedApplication(): FloodedApplication {
  // A connection that rests on a busy machine is not ended in the moment in which its client goes on.
  const http1 = createServer({ maxHeaderSize: 65_536, keepAliveTimeout: 0 }, (asked, answer) => {
    asked.on('error', () => undefined).resume();
    if (asked.url?.startsWith('/bulk/') === true) return void answer.end(large);
    // Whoever sends slowly waits for the answer.
    return void asked.on('end', () => answer.end('here'));
  });
  const http2 = createHttp2Server((asked, answer) => {
    asked.on('error', () => undefined).resume();
    answer.on('error', () => undefined).end('here');
  });
  http2.on('sessionError', () => undefined);
  return {
    serve: (socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (first: Buffer) => {
        socket.pause();
        socket.unshift(first);
        // It takes what was put back by itself: a socket that flows would lose it.
        if (first.toString('latin1').startsWith('PRI')) return void http2.emit('connection', socket);
        http1.emit('connection', socket);
        return void socket.resume();
      });
    },
    end: () => http1.closeAllConnections(),
  };
}
