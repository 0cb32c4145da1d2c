// What callers were let ask for since the last report: methods, hosts and shapes of paths, for `tabard authz suggest`. Bounded; no query, no header
// and nothing that looks like a name or a token gets in (lib/api/requestshape.ts).
import type { RequestSeen } from '../../lib/api/control.ts';
import type { Call } from '../../lib/api/decide.ts';
import type { RequestFacts } from '../../lib/api/request.ts';
import { hostShape, pathShape, ShapeBook } from '../../lib/api/requestshape.ts';

/** Different requests that are told apart between two reports. */
const most = 250;
/** Of them in one report, so that it stays well below what the control API takes; the others are in the next. */
const perReport = 64;
/** Longest method that is noted. */
const longestMethod = 32;

/** Counts in place: there is a note for every request. */
type Note = { -readonly [K in keyof Omit<RequestSeen, 'path'>]: RequestSeen[K] };

interface Alike {
  readonly identity: string;
  readonly port: number;
  readonly method: string;
  readonly sent: string | undefined;
  readonly host: string | undefined;
  readonly group: string;
}

/** The requests since the last report. */
export class RequestNotes {
  #book = newBook();
  /** The requests of a connection are alike but for their paths. */
  #last: Alike | undefined;

  /** A request was let in. */
  note({ identity = '', port }: Pick<Call, 'identity' | 'port'>, { method, host: sent, path }: RequestFacts): void {
    if (method.length > longestMethod) return;
    const { host, group } = this.#alike(identity, port, method, sent);
    const shape = path === undefined ? undefined : pathShape(method, path);
    const known = this.#book.find(group, shape);
    if (known !== undefined) known.count += 1;
    else this.#book.note(group, shape, { identity, port, method, ...(host === undefined ? {} : { host }), count: 1 });
  }

  #alike(identity: string, port: number, method: string, sent: string | undefined): Alike {
    const last = this.#last;
    if (last?.identity === identity && last.port === port && last.method === method && last.sent === sent) return last;
    const host = hostShape(sent);
    this.#last = { identity, port, method, sent, host, group: `${port} ${method} ${host ?? ''} ${identity}` };
    return this.#last;
  }

  /** What is to be reported; it is forgotten here. */
  take(): readonly RequestSeen[] {
    const shapes = this.#book.shapes();
    this.#book = newBook();
    for (const { group, path, entry } of shapes.slice(perReport)) this.#book.note(group, path, entry);
    return shapes.slice(0, perReport).map(({ path, entry }) => ({ ...entry, ...(path === undefined ? {} : { path }) }));
  }

  /** The report did not arrive. */
  putBack(requests: readonly RequestSeen[]): void {
    for (const { path, ...note } of requests)
      this.#book.note(`${note.port} ${note.method} ${note.host ?? ''} ${note.identity}`, path, { ...note });
  }
}

function newBook(): ShapeBook<Note> {
  return new ShapeBook<Note>(most, (known, other) => {
    known.count += other.count;
    return known;
  });
}
