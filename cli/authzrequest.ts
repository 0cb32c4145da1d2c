// Reads a request off the command line, as rules see it.
import { canonicalPath } from '../lib/api/path.ts';
import { hostOf, type RequestFacts } from '../lib/api/request.ts';
import { type OptionSpec, type OptionValues, textOption, UsageError } from './command.ts';

/** Options that say what is asked for. */
export const requestOptions: Readonly<Record<string, OptionSpec>> = {
  method: {
    type: 'string',
    value: 'METHOD',
    help: 'method of the request; else GET, where another of these options is given',
  },
  path: { type: 'string', value: 'PATH', help: 'path of the request as it is sent; else /' },
  host: { type: 'string', value: 'HOST', help: 'host of the request; else the name of the service that is called' },
  headers: { type: 'string', value: 'JSON', help: 'headers for conditions, such as {"x-team": "a"}' },
  claims: { type: 'string', value: 'JSON', help: 'claims of the end user\'s token, such as {"sub": "ann"}' },
};

/** A request, and why its path has no canonical form, if so. */
export interface Wanted {
  readonly facts: RequestFacts;
  readonly ambiguous: string | undefined;
}

/** Undefined = none was said. Throws a UsageError for what cannot be read. */
export function wantedRequest(options: OptionValues, service: string): Wanted | undefined {
  if (Object.keys(requestOptions).every((name) => options[name] === undefined)) return undefined;
  const path = canonicalPath(textOption(options, 'path') ?? '/');
  const headers = members(options, 'headers');
  const claims = members(options, 'claims');
  const lower = Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]);
  return {
    facts: {
      method: textOption(options, 'method') ?? 'GET',
      host: hostOf(textOption(options, 'host') ?? service),
      path: path.ok ? path.path : undefined,
      headers: Object.fromEntries(lower) as Readonly<Record<string, string>>,
      ...(claims === undefined ? {} : { claims }),
    },
    ambiguous: path.ok ? undefined : path.why,
  };
}

function members(options: OptionValues, name: string): Readonly<Record<string, unknown>> | undefined {
  const text = textOption(options, name);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(`--${name} takes a JSON object, not "${text}"`);
  return value as Readonly<Record<string, unknown>>;
}
