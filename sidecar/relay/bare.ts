// Application connections that are halves from the beginning, with no socket of Node's around them: what a relay that can do so offers
// beside halves of sockets (handlebare.ts does it). Who needs more of a connection than its bytes asks for sockets.
import type { Server } from 'node:net';
import type { Half } from './half.ts';

/** A connection that was accepted. Its addresses are as the system writes them. */
export interface BareIncoming {
  readonly near: { readonly half: Half };
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** The listener's. */
  readonly localPort: number | undefined;
  /** Undefined once it is closed. */
  readonly localAddress: string | undefined;
  /** The file descriptor; negative once it is closed. */
  readonly descriptor: number;
  /** Ends it with a reset. */
  reset(): void;
  /** Calls back once when it is closed, however that came. */
  onGone(run: () => void): void;
}

/** Whom to dial. */
export interface BareTarget {
  /** IPv4 or IPv6, with or without a zone. */
  readonly address: string;
  readonly port: number;
}

/** A connection that stands, or what the system says (`ECONNREFUSED`), or `connect timeout`. */
export type BareDialled = { readonly ok: true; readonly half: Half } | { readonly ok: false; readonly detail: string };

/** Accepts and dials. All connections are made with TCP_NODELAY and keep-alive. */
export interface BareHalves {
  /**
   * Takes over what a server that listens accepts: it emits no connection any more. `failed` gets the system's code of what could not be
   * accepted. Throws AppError `unsupported` where that is not possible.
   */
  accept(server: Server, take: (incoming: BareIncoming) => void, failed: (code: string) => void): void;
  /** Dials an IP address; calls back once, at once where the system refuses at once. */
  dial(target: BareTarget, timeoutMs: number, done: (dialled: BareDialled) => void): void;
}
