import type { RequestId, JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { ErrorCode } from '@modelcontextprotocol/sdk/types.js';
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import type { ChildServer } from './child-server';

type Token = string | number;

export interface StdioSessionOptions {
  readonly child: ChildServer;
  readonly newId: () => string;
  readonly maxBodyBytes: number;
  readonly onOpen: (id: string) => void;
  /** Neither end is there any more. */
  readonly onClosed: () => void;
}

/**
 * One agent's session with a stdio server: to the agent's side it speaks Streamable HTTP, to the server's process what
 * that reads. What the server says without saying to which request goes with the one request that runs, or, when there
 * are several, to whoever listens.
 */
export class StdioSession {
  readonly http: WebStandardStreamableHTTPServerTransport;
  private readonly running = new Map<RequestId, Token | undefined>();
  private isClosed = false;

  constructor(private readonly options: StdioSessionOptions) {
    const { child, newId, maxBodyBytes, onOpen } = options;
    this.http = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: newId,
      onsessioninitialized: onOpen,
      maxRequestBodySize: maxBodyBytes,
    });
    this.http.onmessage = (message) => this.toServer(message);
    this.http.onclose = () => void this.close();
    child.onmessage = (message) => this.toAgent(message);
    child.onclose = () => void this.close();
  }

  async start(): Promise<void> {
    await this.options.child.start();
    await this.http.start();
  }

  /** The agent's end of this request is gone: nobody waits for its reply. */
  abandon(id: RequestId): void {
    if (!this.running.delete(id) || this.isClosed) return;
    const params = { requestId: id, reason: 'Nobody waits for it any more' };
    this.toServer({ jsonrpc: '2.0', method: 'notifications/cancelled', params });
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const id of this.running.keys()) {
      const error = { code: ErrorCode.ConnectionClosed, message: 'The tool server has ended' };
      await this.http.send({ jsonrpc: '2.0', id, error }).catch(() => undefined);
    }
    this.running.clear();
    await this.http.close();
    await this.options.child.close();
    this.options.onClosed();
  }

  private toServer(message: JSONRPCMessage): void {
    if ('method' in message && 'id' in message) {
      this.running.set(message.id, message.params?._meta?.progressToken);
    }
    this.options.child.send(message).catch(() => void this.close());
  }

  private toAgent(message: JSONRPCMessage): void {
    const relatedRequestId = this.requestOf(message);
    if (!('method' in message) && message.id !== undefined) this.running.delete(message.id);
    // To a request that was given up nobody listens any more.
    const options = relatedRequestId === undefined ? undefined : { relatedRequestId };
    this.http.send(message, options).catch(() => undefined);
  }

  private requestOf(message: JSONRPCMessage): RequestId | undefined {
    if (!('method' in message)) return undefined;
    const token = message.params?.['progressToken'];
    if (token !== undefined) {
      for (const [id, progress] of this.running) if (progress === token) return id;
    }
    const [only] = this.running.keys();
    return this.running.size === 1 ? only : undefined;
  }
}
