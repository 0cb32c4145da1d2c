// Entry point of the redirect container: captures the pod's traffic, or says why it cannot, and ends.
import { AppError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/runtime/logger.ts';
import { redirect } from './app.ts';
import { readRedirectConfig } from './config.ts';

try {
  const config = readRedirectConfig(process.env);
  await redirect(config, createLogger({ name: 'redirect', level: config.logLevel }));
} catch (error) {
  const logger = createLogger({ name: 'redirect', level: 'error' });
  // What we can name is for the person who reads the pod's events; of anything else the developer needs the stack.
  if (error instanceof AppError) logger.error({ code: error.code, why: error.message }, 'traffic is not captured');
  else logger.error({ err: error }, 'traffic is not captured');
  process.exitCode = 1;
}
