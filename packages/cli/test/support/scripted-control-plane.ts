import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket as TcpSocket } from 'node:net';
import { Server as LiveServer } from 'socket.io';
import { problem, type LiveEvents, type LiveRequests, type ProblemCode } from '@sever/protocol';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

export interface ScriptedReply {
  readonly status: number;
  readonly body: unknown;
}

/** `break` cuts the connection instead of answering; `hang` never answers. */
export type Script = (
  request: ReceivedRequest,
) => ScriptedReply | 'break' | 'hang' | Promise<ScriptedReply | 'break' | 'hang'>;

export const KEY = 'sk_test_0123456789abcdefghijklmnopqrstuv';

/** A real HTTP and socket.io server whose answers a test writes. */
export class ScriptedControlPlane {
  readonly requests: ReceivedRequest[] = [];
  /** What the server takes the time to be; default: this machine's. */
  date: string | undefined;
  readonly live: LiveServer<LiveRequests, LiveEvents>;
  private readonly scripts = new Map<string, Script>();
  private lastPort = 0;
  private readonly sockets = new Set<TcpSocket>();

  private constructor(private readonly server: Server) {
    this.live = new LiveServer(server, { transports: ['websocket'] });
    this.live.use((socket, next) => {
      if (socket.handshake.auth.token === KEY) next();
      else {
        const refusal: Error & { data?: unknown } = new Error('unauthenticated');
        refusal.data = problem('unauthenticated', 'The key is not known here.');
        next(refusal);
      }
    });
    server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
    server.on('request', (request, response) => {
      if (!request.url?.startsWith('/socket.io/')) void this.answer(request, response);
    });
  }

  static async start(port = 0): Promise<ScriptedControlPlane> {
    const server = createServer();
    const plane = new ScriptedControlPlane(server);
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    plane.lastPort = plane.port;
    return plane;
  }

  /** Stays known after `close`, so that another can start in its place. */
  get port(): number {
    const address = this.server.address() as AddressInfo | null;
    this.lastPort = address?.port ?? this.lastPort;
    return this.lastPort;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** @param route e.g. `POST /v1/kills`; a later script replaces an earlier one */
  on(route: string, script: Script): this {
    this.scripts.set(route, script);
    return this;
  }

  /** Answers that route with 200 and this body. */
  serve(route: string, body: unknown): this {
    return this.on(route, () => ({ status: 200, body }));
  }

  /** Cuts every live connection without a word, as a dying process does. */
  dropConnections(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.dropConnections();
    await this.live.close();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const received: ReceivedRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    this.requests.push(received);
    const reply = await this.replyTo(received);
    if (reply === 'hang') return;
    if (reply === 'break') {
      request.socket.destroy();
      return;
    }
    const isProblem = reply.status >= 400;
    response.writeHead(reply.status, {
      'content-type': isProblem ? 'application/problem+json' : 'application/json',
      ...(this.date === undefined ? {} : { date: new Date(this.date).toUTCString() }),
    });
    response.end(JSON.stringify(reply.body));
  }

  private async replyTo(request: ReceivedRequest): ReturnType<typeof this.scripted> {
    if (request.headers.authorization !== `Bearer ${KEY}`) {
      return refusal('unauthenticated', 'The key is not known here.');
    }
    return this.scripted(request);
  }

  private async scripted(request: ReceivedRequest): Promise<ScriptedReply | 'break' | 'hang'> {
    const script = this.scripts.get(`${request.method} ${request.path}`);
    return script ? script(request) : refusal('not_found', 'There is no such thing here.');
  }
}

export function refusal(
  code: ProblemCode,
  detail: string,
  extras: Record<string, unknown> = {},
): ScriptedReply {
  const body = problem(code, detail, extras);
  return { status: body.status, body };
}
