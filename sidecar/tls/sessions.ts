// Client-side TLS sessions, one per endpoint identity, address and server name, so that a repeated connection costs half a
// handshake. Each is kept with what the peer proved in its full handshake: Node shows no certificate on a resumed client session, and the
// proof must be judged again. A store belongs to one credential generation and dies with it: no session outlives a trust change.
import { Lru } from '../lru.ts';
import type { PeerFacts } from './peer.ts';

/** A session as Node hands it out, and who it was made with. */
export interface ClientSession {
  readonly session: Buffer;
  readonly peer: PeerFacts;
}

const MAX_SESSIONS = 1_024;

/** Sessions of one credential generation. */
export class ClientSessions {
  readonly #sessions = new Lru<ClientSession>(MAX_SESSIONS);

  get(key: string): ClientSession | undefined {
    return this.#sessions.get(key);
  }

  set(key: string, session: ClientSession): void {
    this.#sessions.set(key, session);
  }

  /** Forgets all. */
  clear(): void {
    this.#sessions.clear();
  }

  /** Forgets a session that did not serve. */
  delete(key: string): void {
    this.#sessions.delete(key);
  }
}
