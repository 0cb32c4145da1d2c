// Answers ACME CAs in the name of this pod's service: http-01 on plaintext connections, tls-alpn-01 on TLS connections that offer
// nothing but `acme-tls/1`. Only what the operator put up just now is answered, and only before anything else is judged: a CA has no
// certificate of the mesh, and gets nothing that it did not hand out itself.
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { ALPN_ACME } from '../../lib/api/contract.ts';
import type { AcmeChallenge } from '../../lib/api/control.ts';
import type { Logger } from '../../lib/runtime/logger.ts';
import type { Hello } from '../tls/clienthello.ts';
import { peekUntil } from '../tls/peek.ts';
import { reset } from '../transport/plain.ts';
import { type ChallengeRequest, challengeAnswer, challengeRequest } from './http01.ts';

/** What answering needs. */
export interface AnswerDeps {
  /** What the operator put up. */
  challenges(): readonly AcmeChallenge[];
  readonly logger: Logger;
}

type AlpnChallenge = Extract<AcmeChallenge, { type: 'tls-alpn-01' }>;

/** What still arrives is thrown away for this long, so that the answer is not lost to a reset (RFC 9112 section 9.6). */
const LINGER_MS = 1_000;
const noBytes = Buffer.alloc(0);

/** The answers of one pod. */
export class ChallengeAnswers {
  readonly #deps: AnswerDeps;

  constructor(deps: AnswerDeps) {
    this.#deps = deps;
  }

  /** Tokens that are answered now. */
  tokens(): readonly string[] {
    return this.#deps.challenges().map(({ token }) => token);
  }

  /** Whether a ClientHello may be of a CA that looks for one of ours. */
  expectsTls(): boolean {
    return this.#deps.challenges().some(({ type }) => type === 'tls-alpn-01');
  }

  /** Answers a plaintext connection whose first bytes are there, if it asks for a challenge; true when it is taken over. */
  async plaintext(socket: Socket, deadlineMs: number): Promise<boolean> {
    const known = this.#deps.challenges().filter(({ type }) => type === 'http-01');
    if (known.length === 0) return false;
    const settled = (held: Buffer): ChallengeRequest | undefined => {
      const request = challengeRequest(held);
      return request.kind === 'undecided' ? undefined : request;
    };
    const { verdict } = await peekUntil(socket, deadlineMs, settled);
    if (typeof verdict === 'string' || verdict.kind !== 'challenge') return false;
    const challenge = known.find(({ token }) => token === verdict.token);
    if (challenge?.type !== 'http-01') return false;
    this.#deps.logger.info({ type: challenge.type, from: socket.remoteAddress }, 'challenge answered');
    socket.end(challengeAnswer(challenge.keyAuthorization));
    linger(socket);
    return true;
  }

  /** Answers a TLS connection, if its ClientHello is that of a CA; true when it is taken over. */
  tls(socket: Socket, hello: Hello, deadlineMs: number): boolean {
    if (hello.kind !== 'read' || hello.protocols.length !== 1 || hello.protocols[0] !== ALPN_ACME) return false;
    const challenge = this.#deps
      .challenges()
      .find((each) => each.type === 'tls-alpn-01' && each.domain === hello.serverName);
    if (challenge?.type !== 'tls-alpn-01') return false;
    const server = this.#serverFor(challenge);
    // Nothing follows the handshake: when one side ends, so does the other.
    socket.allowHalfOpen = false;
    const timer = setTimeout(() => reset(socket), deadlineMs);
    socket.once('close', () => clearTimeout(timer));
    server.emit('connection', socket);
    return true;
  }

  /** A server that never listens and shows the challenge's certificate alone. */
  #serverFor({ certificate, key, domain }: AlpnChallenge): Server {
    const server = createServer({ cert: certificate, key, ALPNProtocols: [ALPN_ACME], minVersion: 'TLSv1.2' });
    server.on('secureConnection', (socket: TLSSocket) => {
      socket.on('error', () => socket.destroy());
      this.#deps.logger.info({ type: 'tls-alpn-01', domain, from: socket.remoteAddress }, 'challenge answered');
      // No data is exchanged (RFC 8737 section 3); the CA has what it came for.
      socket.end(noBytes);
      socket.resume();
    });
    server.on('tlsClientError', (_, socket) => socket.destroy());
    return server;
  }
}

function linger(socket: Socket): void {
  socket.resume();
  const timer = setTimeout(() => reset(socket), LINGER_MS).unref();
  socket.once('end', () => {
    clearTimeout(timer);
    socket.destroy();
  });
}
