// grpc-go's client of the interoperability cases as a load: calls without a pause on one channel (`rpc_soak`), each of which it says how it ended.
import type { Mesh } from '../pocketmesh.ts';
import { type Interop, runClient } from './grpcinterop.ts';

const threads = 4;

/** Calls under way. */
export class Soak {
  succeeded = 0;
  /** What was said of calls that failed, and of an end that came by itself. */
  readonly failed: string[] = [];
  #rest = '';

  /** Begins; goes on until the mesh ends. */
  static start(mesh: Mesh, { clients }: Interop, port: number): Soak {
    const soak = new Soak();
    const end = new AbortController();
    const options = {
      server_host: '127.0.0.1',
      server_port: port,
      test_case: 'rpc_soak',
      soak_num_threads: threads,
      soak_iterations: threads * 1_000_000,
      soak_overall_timeout_seconds: 3_600,
      soak_per_iteration_max_acceptable_latency_ms: 600_000,
      soak_min_time_ms_between_rpcs: 20,
      soak_request_size: 1_000,
      soak_response_size: 1_000,
    };
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const ended = runClient(clients.go, args, { signal: end.signal, said: (text) => soak.#said(text) });
    mesh.onEnd(async () => {
      end.abort();
      await ended;
    });
    return soak;
  }

  #said(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.endsWith(' succeeded')) this.succeeded += 1;
      else this.failed.push(line);
    }
  }
}
