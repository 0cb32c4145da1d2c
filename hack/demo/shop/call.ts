// One call of one kind, for a person or a test: `shop call <kind> <host> [text]` prints what happened as one JSON line,
// a failure on standard error.
import { kinds } from './kinds.ts';

/** Exit code: 0 the right answer came, 1 it did not, 64 wrong usage. */
export async function runCall([name = '', host, text = 'hello']: readonly string[]): Promise<number> {
  const kind = kinds[name];
  if (kind === undefined) {
    console.error(`shop call: no kind "${name}"; there are ${Object.keys(kinds).join(', ')}`);
    return 64;
  }
  const startedAt = performance.now();
  const outcome = (fields: object): string =>
    JSON.stringify({ kind: name, host: host ?? kind.host, ms: Math.round(performance.now() - startedAt), ...fields });
  try {
    const line = await kind.open(host ?? kind.host);
    await line.call(text);
    await line.close();
    console.log(outcome({ ok: true }));
    return 0;
  } catch (error) {
    console.error(outcome({ ok: false, error: error instanceof Error ? error.message : String(error) }));
    return 1;
  }
}
