// A gRPC service and its callers by @grpc/grpc-js, without generated code: messages are bytes.
import {
  Client,
  type ClientOptions,
  credentials,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';

const asIs = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/shop.Items/${name}`,
  requestStream,
  responseStream,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
});

const definition = {
  get: method('Get', false, false),
  watch: method('Watch', false, true),
  collect: method('Collect', true, false),
  chat: method('Chat', true, true),
  silent: method('Silent', false, false),
  fail: method('Fail', false, false),
  remove: method('Remove', false, false),
} satisfies ServiceDefinition;

/** A service at work. */
export interface GrpcService {
  readonly port: number;
  /** Calls that have come, and those that were cancelled. */
  readonly calls: string[];
  readonly cancelled: string[];
  stop(): void;
}

/** Starts it on a free port of loopback. */
export async function startGrpcService(): Promise<GrpcService> {
  const calls: string[] = [];
  const cancelled: string[] = [];
  const echo =
    (name: string): handleUnaryCall<Buffer, Buffer> =>
    (call, answer) => {
      calls.push(name);
      const initial = new Metadata();
      initial.set('x-back', String(call.metadata.get('x-there')[0] ?? ''));
      initial.set('x-back-bin', Buffer.from(call.metadata.get('x-there-bin')[0] ?? ''));
      call.sendMetadata(initial);
      const trailers = new Metadata();
      trailers.set('x-trailer', 'told');
      answer(null, call.request, trailers);
    };
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(definition, {
    get: echo('Get'),
    remove: echo('Remove'),
    fail: (_: unknown, answer: sendUnaryData<Buffer>) => answer({ code: status.NOT_FOUND, details: 'no such item' }),
    silent: (call: { on(event: 'cancelled', run: () => void): void }) => {
      calls.push('Silent');
      call.on('cancelled', () => cancelled.push('Silent'));
    },
    watch: (call: ServerWritableStream<Buffer, Buffer>) => {
      calls.push('Watch');
      call.on('cancelled', () => cancelled.push('Watch'));
      const count = call.request.readUInt32BE(0);
      for (let index = 0; index < count; index += 1) call.write(Buffer.alloc(20_000, index));
      if (count > 0) call.end();
    },
    collect: (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
      calls.push('Collect');
      let octets = 0;
      call.on('data', (chunk: Buffer) => void (octets += chunk.length));
      call.on('end', () => answer(null, Buffer.from(String(octets))));
    },
    chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
      calls.push('Chat');
      call.on('data', (chunk: Buffer) => call.write(Buffer.from(`you said ${chunk.toString()}`)));
      call.on('end', () => call.end());
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, calls, cancelled, stop: () => server.forceShutdown() };
}

/** How a unary call ended. */
export interface Outcome {
  readonly code: number;
  readonly details: string;
  readonly message: Buffer | undefined;
  readonly metadata: Metadata;
  readonly trailers: Metadata;
}

/** A caller of the service at an address. Close it. */
export class GrpcCaller {
  readonly client: Client;

  constructor(address: string, options: ClientOptions = {}) {
    this.client = new Client(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.enable_retries': 0,
      ...options,
    });
  }

  /** A unary call by the name of its method. */
  unary(
    name: string,
    message: Buffer,
    { metadata = new Metadata(), deadline = new Date(Date.now() + 20_000) } = {},
  ): Promise<Outcome> {
    return new Promise((resolve) => {
      let got = new Metadata();
      const call = this.client.makeUnaryRequest(
        `/shop.Items/${name}`,
        asIs,
        asIs,
        message,
        metadata,
        { deadline },
        (error, answer) => {
          call.on('status', ({ code, details, metadata: trailers }) =>
            resolve({ code, details, message: error === null ? answer : undefined, metadata: got, trailers }),
          );
        },
      );
      call.on('metadata', (initial: Metadata) => void (got = initial));
    });
  }

  close(): void {
    this.client.close();
  }
}
