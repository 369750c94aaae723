import type { IncomingMessage, ServerResponse } from 'node:http';
import { finished } from 'node:stream';
import type { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { JSONRPCMessageSchema, type RequestId } from '@modelcontextprotocol/sdk/types.js';
import { bearerToken, NO_TOKEN, onCut, RefusedError } from '@sever/enforcement';
import { ProblemError } from '@sever/protocol';
import { Decider, unknownSession, type DeciderOptions } from './decider';
import { GuardedTransport } from './guarded-transport';
import { readBody } from './read-body';
import { refusalFrom, rpcRefusal } from './rpc-refusal';

/**
 * `name`: `[a-z0-9-]{1,32}`; a tool takes the scope `tool:<name>/<tool>`, a resource `tool:<name>/resource:<uri>`, a prompt
 * `tool:<name>/prompt:<prompt>`. `effects`: which tools only read, by their names; without it every tool writes.
 */
export type McpGuardOptions = DeciderOptions;

/**
 * Guards MCP servers inside their own process: each request is decided, lists show what may be called, and a handler's
 * `extra.signal` is aborted at the kill of its agent.
 *
 * @example
 * const guard = new McpGuard({ point, name: 'billing' });
 * const server = guard.protect(new McpServer({ name: 'billing', version: '1.0.0' }));
 * server.registerTool('transfer', { inputSchema }, (order, { signal }) => transfer(order, signal));
 * await server.connect(transport);
 * createServer((request, response) => void guard.handle(transport, request, response)).listen(8080);
 */
export class McpGuard {
  private readonly decider: Decider;
  private readonly transports = new WeakMap<Transport, GuardedTransport>();

  /** @throws Error for a name that no scope can say */
  constructor(private readonly options: McpGuardOptions) {
    if (!/^[a-z0-9-]{1,32}$/.test(options.name))
      throw new Error(`name: '${options.name}' is written with 1 to 32 of a-z, 0-9 and -`);
    this.decider = new Decider(options);
  }

  /**
   * Guards the server on every transport that it is connected to later. Call it before tools are registered: only
   * handlers that are set afterwards are known to have stopped, and others count as uncontrolled when they are cut.
   *
   * @returns the same server
   */
  protect<S extends McpServer | Server>(server: S): S {
    const inner: Server = 'server' in server ? server.server : server;
    let guarded: GuardedTransport | undefined;
    const connect = inner.connect.bind(inner);
    inner.connect = async (transport) => {
      guarded = new GuardedTransport(transport, this.decider);
      this.transports.set(transport, guarded);
      await connect(guarded);
    };
    const setRequestHandler = inner.setRequestHandler.bind(inner);
    inner.setRequestHandler = (schema, handler) =>
      setRequestHandler(schema, (request, extra) => {
        const transport = guarded;
        if (transport === undefined) return handler(request, extra);
        return transport.track(extra.requestId, extra.signal, () => handler(request, extra));
      });
    return server;
  }

  /**
   * One HTTP request to the transport. What can be refused before the transport has answered is, with the status and the
   * headers of a sidecar's refusals.
   *
   * @param body the parsed body, if something before this has read it
   */
  async handle(
    transport: StreamableHTTPServerTransport,
    request: IncomingMessage,
    response: ServerResponse,
    body?: unknown,
  ): Promise<void> {
    let message = body;
    let id: RequestId | undefined;
    try {
      const token = bearerToken(request);
      const agentId = await this.decider.check(token);
      const { owner } = this.transports.get(transport) ?? {};
      if (owner !== undefined && owner !== agentId) throw unknownSession();
      if (request.method === 'POST') {
        message ??= await readBody(request);
        id = await this.decide(token, message);
      } else await this.watch(token, response);
    } catch (error) {
      id ??= idOf(message);
      const refused = refusalFrom(error);
      response.writeHead(refused.status, {
        ...refused.headers,
        'content-type': 'application/json',
      });
      response.end(JSON.stringify(rpcRefusal(refused, id)));
      return;
    }
    await transport.handleRequest(request, response, message);
  }

  private async decide(token: string | undefined, body: unknown): Promise<RequestId | undefined> {
    if (Array.isArray(body))
      throw new ProblemError(
        'bad_request',
        'A batch is not accepted; send one message per request',
      );
    const message = JSONRPCMessageSchema.safeParse(body);
    if (!message.success) throw new ProblemError('bad_request', 'The body is no JSON-RPC message');
    const { data } = message;
    if ('method' in data) await this.decider.check(token, data.method, data.params);
    return idOf(body);
  }

  /** A stream that waits for whatever the server says next ends with its agent. */
  private async watch(token: string | undefined, response: ServerResponse): Promise<void> {
    const { point, name } = this.options;
    const admission = token === undefined ? NO_TOKEN : await point.admit(token, { upstream: name });
    if (admission.decision === 'deny') throw new RefusedError(admission);
    finished(response, () => admission.call.finish());
    onCut(admission.call, () => response.destroy());
  }
}

function idOf(body: unknown): RequestId | undefined {
  const id = typeof body === 'object' && body !== null && 'id' in body ? body.id : undefined;
  return typeof id === 'string' || typeof id === 'number' ? id : undefined;
}
