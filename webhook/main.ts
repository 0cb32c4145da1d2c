// Entry point of the webhook: reads the settings, runs until a signal, ends with an exit code.
import { systemClock } from '../lib/clock.ts';
import { createLogger } from '../lib/runtime/logger.ts';
import { runWebhook } from './app.ts';
import { readConfig } from './config.ts';

try {
  const config = readConfig(process.env);
  const logger = createLogger({ name: 'webhook', level: config.logLevel });
  process.exitCode = await runWebhook({ config, clock: systemClock, logger, process });
} catch (error) {
  createLogger({ name: 'webhook', level: 'error' }).error({ err: error }, 'the webhook cannot start');
  process.exitCode = 1;
}
