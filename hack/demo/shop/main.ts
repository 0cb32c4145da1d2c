// The demo's shop in one program: `shop <api|web|load|job|call>`. Ordinary software that knows nothing of TLS.
import { startApi } from './api.ts';
import { runCall } from './call.ts';
import { runJob, runLoad } from './load.ts';
import { startWeb } from './web.ts';

const role = process.argv[2];
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());

switch (role) {
  case 'api':
    await startApi(stop.signal);
    break;
  case 'web':
    await startWeb(stop.signal);
    break;
  case 'load':
    process.exitCode = await runLoad(process.env, stop.signal);
    break;
  case 'job':
    process.exitCode = await runJob(process.env);
    break;
  case 'call':
    process.exitCode = await runCall(process.argv.slice(3));
    break;
  default:
    console.error(`shop: unknown role "${role ?? ''}"; say api, web, load, job or call`);
    process.exitCode = 64;
}
