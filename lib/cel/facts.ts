// What conditions can ask for, as the variables that CEL knows. A member that is not known of a request is left out, and asking for it fails. Pure.
import type { ConditionFacts } from '../api/condition.ts';

/** `source`: who calls. What it does not prove is empty. */
export class Source {
  readonly identity: string;
  readonly namespace: string;
  readonly service: string;
  readonly address: string;

  constructor({ call, namespace = '', service = '' }: ConditionFacts) {
    this.identity = call.identity ?? '';
    this.namespace = namespace;
    this.service = service;
    this.address = call.address;
  }
}

/** `destination`: what is called. */
export class Destination {
  readonly port: bigint;

  constructor({ call }: ConditionFacts) {
    this.port = BigInt(call.port);
  }
}

/** `request.auth`: the end user's token. */
export class Auth {
  readonly present: boolean;
  readonly claims: Readonly<Record<string, unknown>>;

  constructor({ request }: ConditionFacts) {
    this.present = request.claims !== undefined;
    this.claims = request.claims ?? {};
  }
}

/** `request`: what is asked for. Without a canonical path there is no `path`, without a Host no `host`. */
export class Request {
  readonly method: string;
  readonly path: string | undefined;
  readonly host: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly auth: Auth;

  constructor(facts: ConditionFacts) {
    const { method, path, host, headers = {} } = facts.request;
    this.method = method;
    this.path = path;
    this.host = host;
    this.headers = headers;
    this.auth = new Auth(facts);
  }
}
