// `reloader FOLDER PIDFILE`: tells a server that watches no files when there are new ones: SIGHUP to the process of the file. Runs beside it in a
// pod that shares the process namespace.
import { readFileSync } from 'node:fs';
import { onSwap } from './folder.ts';

const [, , folder = '', pidFile = ''] = process.argv;
onSwap(folder, () => {
  process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGHUP');
  console.log('reloader: told it');
});
process.on('SIGTERM', () => process.exit(0));
