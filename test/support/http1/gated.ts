// A port behind which a gate stands in front of a back end, as in a sidecar: real sockets, the relay and the gate of the product.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { RuleMatch } from '../../../lib/api/authorization.ts';
import { Authorizer } from '../../../sidecar/authorize.ts';
import type { Exchange } from '../../../sidecar/exchange.ts';
import { defaultHeadLimits } from '../../../sidecar/http1/fields.ts';
import { type Broken, type GateOptions, Http1Gate } from '../../../sidecar/http1/gate.ts';
import { judged } from '../../../sidecar/http1/judged.ts';
import { join } from '../../../sidecar/relay/join.ts';
import { openStreamHalf } from '../../../sidecar/relay/streamhalf.ts';
import { testSelf } from '../sidecar.ts';

/** What a gate saw of one connection. */
export interface Seen {
  readonly exchanges: Exchange[];
  readonly broken: Broken[];
  /** Everything that the client got. */
  got: string;
}

/** A listening gate. */
export interface Gated {
  /** Sends bytes on a connection of their own; resolves when it is over. Rejects when it is not within the time. */
  send(bytes: string, withinMs: number): Promise<Seen>;
  stop(): Promise<void>;
}

/** Listens in front of a port. `rules`: authorization rules in force, each request judged as a sidecar does; without them all pass. */
export async function gated(port: number, rules: readonly RuleMatch[] = []): Promise<Gated> {
  const seen: Seen[] = [];
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (near) => {
    const current = seen.at(-1) ?? { exchanges: [], broken: [], got: '' };
    near.on('error', () => undefined);
    const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    far.on('error', () => near.destroy());
    far.once('connect', () => {
      const gate = new Http1Gate(openStreamHalf(far), {
        limits: defaultHeadLimits,
        headTimeoutMs: 30_000,
        bodyTimeoutMs: 300_000,
        ...denying(rules),
        over: (exchange) => current.exchanges.push(exchange),
        broken: (each) => current.broken.push(each),
      });
      join(openStreamHalf(near), gate);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: own } = server.address() as AddressInfo;
  return {
    send: async (bytes, withinMs) => {
      const current: Seen = { exchanges: [], broken: [], got: '' };
      seen.push(current);
      const socket = connect({ port: own, host: '127.0.0.1', noDelay: true });
      open.add(socket);
      const over = new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no end within ${withinMs} ms; got ${current.got}`)), withinMs);
        socket.on('error', () => undefined);
        socket.on('data', (chunk: Buffer) => void (current.got += chunk.toString('latin1')));
        socket.on('close', () => {
          clearTimeout(timer);
          resolve();
        });
      });
      socket.write(bytes, 'latin1');
      await over.finally(() => {
        socket.destroy();
        open.delete(socket);
      });
      return current;
    },
    stop: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The judge of a sidecar under these rules. */
function denying(rules: readonly RuleMatch[]): Pick<GateOptions, 'deny'> {
  if (rules.length === 0) return {};
  const { policy, trustDomain } = testSelf('web', '', { authorization: { form: 1, rules } });
  const authorizer = new Authorizer({
    self: () => ({ policy, trustDomain }),
    now: () => new Date(),
    onHit: () => undefined,
    onAudit: () => undefined,
  });
  const admission = authorizer.admit({ identity: undefined, address: '127.0.0.1', port: 80 }, true);
  if (!admission.ok || admission.requests === undefined) throw new Error('these rules deny every request');
  const nobody = () => ({ ok: true, claims: undefined, strip: undefined, untilMs: Infinity }) as const;
  return { deny: judged(admission.requests, nobody, () => undefined).deny };
}
