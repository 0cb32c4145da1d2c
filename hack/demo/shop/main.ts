// The demo's shop in one program: `shop <api|web|load|job>`. Ordinary software that knows nothing of TLS.
import { startApi } from './api.ts';
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
  default:
    console.error(`shop: unknown role "${role ?? ''}"; say api, web, load or job`);
    process.exitCode = 64;
}
