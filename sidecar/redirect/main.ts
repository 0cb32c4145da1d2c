// Entry point of the redirect container: captures the pod's traffic, or says why it cannot, and ends.
import { createLogger } from '../../lib/runtime/logger.ts';
import { redirect } from './app.ts';
import { readRedirectConfig } from './config.ts';

try {
  const config = readRedirectConfig(process.env);
  await redirect(config, createLogger({ name: 'redirect', level: config.logLevel }));
} catch (error) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  createLogger({ name: 'redirect', level: 'error' }).error({ code, err: error }, 'traffic is not captured');
  process.exitCode = 1;
}
