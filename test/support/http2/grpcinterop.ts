// The interoperability cases of gRPC by those who made them: grpc-go's client and server, grpc-java's on Netty and on OkHttp. A case is one
// run of a client, and its verdict the exit code.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { toolPath } from '../../../hack/cluster/api.ts';
import { silentProgress } from '../../../hack/cluster/progress.ts';
import { grpcJava, type Program } from '../../../hack/interop/tools.ts';
import { leashed } from '../../../hack/leash.ts';
import { type Daemon, listening, onFreePorts, startDaemon } from '../daemon.ts';

/** Who takes part. */
export interface Interop {
  /** By the name that tables give it. */
  readonly clients: Readonly<Record<'go' | 'netty' | 'okhttp', Program>>;
  readonly servers: Readonly<Record<'go' | 'netty', Program>>;
}

/** How a case ended. */
export interface CaseRun {
  readonly passed: boolean;
  /** What the client printed. */
  readonly said: string;
}

/** Every client has these. Left out is what needs an account of a cloud. */
export const commonCases = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'custom_metadata',
  'status_code_and_message',
  'special_status_message',
  'unimplemented_method',
  'unimplemented_service',
  'cancel_after_begin',
  'cancel_after_first_response',
  'timeout_on_sleeping_server',
  'rpc_soak',
  'channel_soak',
] as const;

/** Of grpc-java, against its own server: no other client or server compresses single messages. */
export const compressionCases = [
  'client_compressed_unary_noprobe',
  'server_compressed_unary',
  'client_compressed_streaming_noprobe',
  'server_compressed_streaming',
  'very_large_request',
] as const;

const CASE_MS = 120_000;
/** What a busy machine needs longer for is none of the cases' business. */
const patience = ['--soak_per_iteration_max_acceptable_latency_ms=60000', '--soak_overall_timeout_seconds=100'];

/** Installs what is missing. */
export async function grpcInterop(): Promise<Interop> {
  const folder = dirname(await toolPath('grpcinterop'));
  const java = await grpcJava(silentProgress());
  const of = (main: string, ...args: readonly string[]): Program => ({
    ...java,
    args: [...java.args, `io.grpc.testing.integration.${main}`, '--use_tls=false', ...args],
  });
  const go = (name: string): Program => ({ command: join(folder, name), args: [], env: {} });
  return {
    clients: { go: go('client'), netty: of('TestServiceClient'), okhttp: of('TestServiceClient', '--use_okhttp=true') },
    servers: { go: go('server'), netty: of('TestServiceServer') },
  };
}

/** A server at work, and its port. */
export function startInteropServer({ command, args }: Program): Promise<Daemon & { readonly port: number }> {
  return onFreePorts(1, async ([port = 0]) => {
    const options = { program: command, args: [...args, `--port=${port}`], ready: listening(port) };
    return { ...(await startDaemon(options)), port };
  });
}

/** A client's process; what it prints comes to `said`. Resolves with whether it ended well. */
export function runClient(
  { command, args }: Program,
  options: readonly string[],
  { signal, said }: { readonly signal: AbortSignal; readonly said: (text: string) => void },
): Promise<boolean> {
  const env = { PATH: process.env['PATH'] ?? '' };
  const child = spawn(...leashed(command, [...args, ...options]), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', said);
  return new Promise((resolve) => {
    child.on('error', (error) => said(error.message));
    child.on('close', (code) => {
      signal.removeEventListener('abort', end);
      resolve(code === 0);
    });
  });
}

/** Runs a case. What takes two minutes has failed. */
export async function runCase(client: Program, port: number, name: string): Promise<CaseRun> {
  const parts: string[] = [];
  const options = ['--server_host=127.0.0.1', `--server_port=${port}`, `--test_case=${name}`, ...patience];
  const said = (text: string): void => void parts.push(text);
  const passed = await runClient(client, options, { signal: AbortSignal.timeout(CASE_MS), said });
  return { passed, said: parts.join('') };
}
