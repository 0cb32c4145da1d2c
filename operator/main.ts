// The operator process.
import { createLogger } from '../lib/runtime/logger.ts';
import { runOperator } from './app.ts';
import { readConfig } from './config.ts';

function fatal(err: unknown): never {
  createLogger({ name: 'operator', level: 'info' }).fatal({ err }, 'the operator ends after a failure');
  process.exit(1);
}

process.on('uncaughtException', fatal);
try {
  process.exit(await runOperator(readConfig(process.env)));
} catch (error) {
  fatal(error);
}
