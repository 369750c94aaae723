import type {
  Transport,
  TransportSendOptions,
} from '@modelcontextprotocol/sdk/shared/transport.js';
import type {
  JSONRPCMessage,
  JSONRPCRequest,
  MessageExtraInfo,
  RequestId,
} from '@modelcontextprotocol/sdk/types.js';
import { bearerToken, type RefusedError } from '@sever/enforcement';
import { ProblemError } from '@sever/protocol';
import { unknownSession, type Decider } from './decider';
import { refusalFrom, rpcRefusal } from './rpc-refusal';
import type { RunningRequest } from './running-request';

/**
 * Stands between a transport and its server: whatever an agent asks is decided before the server hears of it, and after a
 * cut nothing more of it leaves.
 */
export class GuardedTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: NonNullable<Transport['onmessage']>;
  /** Whoever has spoken first; the session is that agent's. */
  owner: string | undefined;
  private readonly running = new Map<RequestId, RunningRequest>();

  constructor(
    private readonly inner: Transport,
    private readonly decider: Decider,
  ) {}

  get sessionId(): string | undefined {
    return this.inner.sessionId;
  }

  setProtocolVersion(version: string): void {
    this.inner.setProtocolVersion?.(version);
  }

  async start(): Promise<void> {
    this.inner.onclose = () => {
      for (const request of this.running.values()) request.end('abandoned');
      this.running.clear();
      this.onclose?.();
    };
    this.inner.onerror = (error) => this.onerror?.(error);
    this.inner.onmessage = (message: JSONRPCMessage, extra?: MessageExtraInfo) => {
      this.receive(message, extra).catch((error: unknown) => this.onerror?.(error as Error));
    };
    await this.inner.start();
  }

  async close(): Promise<void> {
    await this.inner.close();
  }

  async send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    const isAnswer = !('method' in message);
    const id = isAnswer ? message.id : options?.relatedRequestId;
    const request = id === undefined ? undefined : this.running.get(id);
    if (request === undefined || id === undefined) return await this.inner.send(message, options);
    let sent = message;
    if (isAnswer && 'result' in message)
      sent = { ...message, result: await this.decider.filtered(request, message.result) };
    if (request.cutBy !== undefined) return;
    await this.inner.send(sent, options);
    if (isAnswer) this.ended(id, request, 'completed');
  }

  /** The handler of a request: one that was cut or cancelled is over once its handler has settled. */
  async track<T>(id: RequestId, signal: AbortSignal, work: () => T | Promise<T>): Promise<T> {
    const request = this.running.get(id);
    try {
      return await work();
    } finally {
      if (request !== undefined && signal.aborted)
        this.ended(id, request, request.cutBy === undefined ? 'abandoned' : 'aborted');
    }
  }

  private ended(
    id: RequestId,
    request: RunningRequest,
    outcome: 'completed' | 'aborted' | 'abandoned',
  ): void {
    if (this.running.get(id) === request) this.running.delete(id);
    request.end(outcome);
  }

  private async receive(message: JSONRPCMessage, extra?: MessageExtraInfo): Promise<void> {
    const token = tokenOf(extra);
    if ('method' in message && 'id' in message) return await this.request(message, token, extra);
    // Neither has an answer in which a refusal could travel.
    try {
      this.belongsTo(await this.decider.check(token));
    } catch (error) {
      refusalFrom(error);
      return;
    }
    this.onmessage?.(message, extra);
  }

  private async request(
    message: JSONRPCRequest,
    token: string | undefined,
    extra?: MessageExtraInfo,
  ): Promise<void> {
    const { id, method, params } = message;
    try {
      if (this.running.has(id))
        throw new ProblemError('bad_request', 'A request with this id is still running');
      const request = await this.decider.admit(token, method, params);
      try {
        this.belongsTo(request.caller.agentId);
      } catch (error) {
        request.end('refused');
        throw error;
      }
      this.running.set(id, request);
      this.onmessage?.(message, extra);
      request.onCut((refused) => void this.cut(id, refused, extra));
    } catch (error) {
      await this.inner.send(rpcRefusal(refusalFrom(error), id), { relatedRequestId: id });
    }
  }

  private belongsTo(agentId: string): void {
    this.owner ??= agentId;
    if (this.owner !== agentId) throw unknownSession();
  }

  private async cut(id: RequestId, refused: RefusedError, extra?: MessageExtraInfo): Promise<void> {
    // The server's own way to abort a handler's signal; it then sends no answer by itself.
    const cancelled = {
      ...{ jsonrpc: '2.0' as const, method: 'notifications/cancelled' },
      params: { requestId: id, reason: refused.denied.code },
    };
    try {
      this.onmessage?.(cancelled, extra);
      await this.inner.send(rpcRefusal(refusalFrom(refused), id), { relatedRequestId: id });
    } catch (error) {
      this.onerror?.(error as Error);
    }
  }
}

/** The one token of the HTTP request; without one, that which the service has verified itself. */
function tokenOf(extra: MessageExtraInfo | undefined): string | undefined {
  const given = extra?.requestInfo?.headers['authorization'];
  if (given === undefined) return extra?.authInfo?.token;
  return bearerToken({ headersDistinct: { authorization: [given].flat() } });
}
