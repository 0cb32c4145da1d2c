#!/usr/bin/env node
// `tabard`, and under the name kubectl-tabard on the path also `kubectl tabard`.
import { createInterface } from 'node:readline/promises';
import { runCli } from './app.ts';

const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));

// A reader that leaves early, as `head` does, is no failure.
process.stdout.on('error', () => process.exit(0));

process.exitCode = await runCli({
  words: process.argv.slice(2),
  environment: process.env,
  signal: stop.signal,
  terminal: {
    out: (line) => process.stdout.write(`${line}\n`),
    err: (line) => process.stderr.write(`${line}\n`),
    ask: async (question) => {
      if (!process.stdin.isTTY) return undefined;
      const reader = createInterface({ input: process.stdin, output: process.stderr });
      try {
        return await reader.question(question, { signal: stop.signal });
      } finally {
        reader.close();
      }
    },
  },
});
