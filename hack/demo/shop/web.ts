// The shop's web service: answers on 8080 with what the api service said to it over HTTP/1.1.
import { Agent, createServer, request } from 'node:http';

/** Serves until the signal fires. */
export async function startWeb(stop: AbortSignal): Promise<void> {
  const api = new URL(process.env['SHOP_API'] ?? 'http://api:8080');
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  const server = createServer((incoming, response) => {
    if (incoming.url === '/health') return void response.end('ok\n');
    const onward = request(new URL(incoming.url ?? '/', api), { agent, method: incoming.method ?? 'GET' }, (answer) => {
      response.writeHead(answer.statusCode ?? 502);
      answer.pipe(response);
    });
    onward.on('error', (error) => {
      if (!response.headersSent) response.writeHead(502);
      response.end(`web: the api did not answer: ${error.message}\n`);
    });
    incoming.pipe(onward);
  });
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(8080, '::', resolve));
  console.log('web: listening');
  stop.addEventListener('abort', () => {
    server.close();
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), 3_000).unref();
  });
}
