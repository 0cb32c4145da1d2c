// What an ACME CA meets in tests: a sidecar process before an application, names that all lead to it, and the bench whose issuers order.
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { AcmeBench, type SidecarProcess } from './acmebench.ts';
import { type PebbleServer, startDns, startPebble } from './acmeservers.ts';
import { type HttpsProxy, startHttpsProxy } from './httpsproxy.ts';

/** Everything but the CA. */
export interface AcmeWorld {
  readonly bench: AcmeBench;
  readonly sidecar: SidecarProcess;
  /** Where names are looked up. */
  readonly dns: string;
  /** Is called by `end`, the last first. */
  onEnd(end: () => Promise<void>): void;
  end(): Promise<void>;
}

/** Pebble and a proxy in front of it. */
export interface PebbleWorld extends AcmeWorld {
  readonly pebble: PebbleServer;
  readonly proxy: HttpsProxy;
}

/** Starts it; what had started is ended when the rest does not. */
export async function startAcmeWorld(): Promise<AcmeWorld> {
  const ends: (() => Promise<void>)[] = [];
  const end = async (): Promise<void> => {
    for (const each of ends.splice(0).reverse()) await each();
  };
  try {
    const application = createServer((socket) => socket.end('the application')).listen(0, '127.0.0.1');
    ends.push(async () => void application.close());
    await once(application, 'listening');
    const bench = await AcmeBench.start();
    ends.push(() => bench.end());
    const sidecar = await bench.sidecar((application.address() as AddressInfo).port);
    const dns = await startDns();
    ends.push(() => dns.stop());
    return { bench, sidecar, dns: dns.address, onEnd: (each) => void ends.push(each), end };
  } catch (error) {
    await end();
    throw error;
  }
}

/** With pebble, which comes to the sidecar's port as it would to the service's. */
export async function startPebbleWorld(
  options: Omit<Parameters<typeof startPebble>[0], 'httpPort' | 'tlsPort' | 'dns'>,
): Promise<PebbleWorld> {
  const world = await startAcmeWorld();
  try {
    const { inboundPort } = world.sidecar;
    const pebble = await startPebble({ httpPort: inboundPort, tlsPort: inboundPort, dns: world.dns, ...options });
    world.onEnd(() => pebble.stop());
    const proxy = await startHttpsProxy(pebble.server);
    world.onEnd(() => proxy.stop());
    return { ...world, pebble, proxy };
  } catch (error) {
    await world.end();
    throw error;
  }
}
