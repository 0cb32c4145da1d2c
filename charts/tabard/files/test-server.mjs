// The server of `helm test`: knows nothing of TLS.
import { createServer } from 'node:http';

const server = createServer((_, response) => response.end('hello from behind the sidecar'));
server.listen(Number(process.env.PORT ?? 8080), () => console.log(`listening on ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
