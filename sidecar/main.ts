// Entry point of the sidecar container.
import { messageOf } from '../lib/errors.ts';
import { runSidecar } from './app.ts';
import { readConfig } from './config.ts';

try {
  process.exitCode = await runSidecar(readConfig(process.env));
} catch (error) {
  console.error(
    JSON.stringify({ level: 'fatal', process: 'sidecar', msg: 'sidecar cannot run', why: messageOf(error) }),
  );
  process.exitCode = 1;
}
