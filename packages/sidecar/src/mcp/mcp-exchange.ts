import type { RequestId } from '@modelcontextprotocol/sdk/types.js';
import { ProblemError } from '@sever/protocol';
import { Exchange } from '../relay/exchange';
import { mediaType, toUpstream } from '../relay/headers';
import { HoldGate } from '../relay/hold-gate';
import { readBody } from '../relay/read-body';
import type { RefusalForm } from '../relay/refusal-form';
import { bytesOfBody, sendUpstream } from '../relay/upstream-request';
import { idIn, readMessage, type Message } from './message';
import { rpcError, rpcErrorEvent } from './rpc-error';

/** How much of a refused request is read, and for how long, only to find the id that the error should carry. */
const PEEK_BYTES = 64 * 1_024;
const PEEK_MS = 1_000;

/** One exchange with an MCP server over Streamable HTTP: what it is about stands in the body. */
export class McpExchange extends Exchange {
  private id: RequestId | undefined;

  get isListening(): boolean {
    return this.request.method === 'GET';
  }

  protected form(): RefusalForm {
    return {
      contentType: 'application/json',
      body: (problem) => JSON.stringify(rpcError(problem, this.id)),
      lastEvent: (problem) => rpcErrorEvent(problem, this.id),
    };
  }

  protected async relay(token: string): Promise<void> {
    const { name } = this.upstream;
    // The token is checked before the body is read, so that a revoked agent's upload is cut like any other call.
    const upload = await this.admit(token, { upstream: name });
    this.refuseQuery();
    const body = this.request.method === 'POST' ? await this.body() : undefined;
    const message = body === undefined ? undefined : readMessage(body);
    this.id = message?.id;
    if (message !== undefined) this.refuseOtherHeaders(message);
    const admitted =
      message?.tool === undefined
        ? upload
        : await this.admitAs(token, { tool: `${name}/${message.tool}`, upstream: name }, upload);
    this.parts.metrics.decided(admitted);
    const gate = new HoldGate(admitted.call);
    const headers = toUpstream(this.request, token);
    const response = await sendUpstream({
      upstream: this.upstream,
      url: this.upstream.url,
      method: this.request.method as 'GET' | 'POST' | 'DELETE',
      headers: body === undefined ? headers : { ...headers, 'content-length': String(body.length) },
      body: body === undefined ? undefined : bytesOfBody(body, gate, this.signal),
      gate,
      signal: this.signal,
      dispatcher: this.parts.dispatcher,
    });
    await this.handOn(response, gate);
  }

  protected override async beforeRefusal(): Promise<void> {
    if (this.request.method !== 'POST' || this.request.readableEnded) return;
    const patience = AbortSignal.any([this.signal, AbortSignal.timeout(PEEK_MS)]);
    const body = await readBody(this.request, PEEK_BYTES, patience).catch(() => undefined);
    this.id = body === undefined ? undefined : idIn(body);
  }

  private async body(): Promise<Buffer> {
    if (mediaType(this.request.headers['content-type']) !== 'application/json') {
      throw new ProblemError('unsupported_media_type', 'A message is sent as application/json');
    }
    return readBody(this.request, this.parts.limits.bodyBytes, this.signal);
  }

  /** A query could carry the token past the sidecar; what the upstream needs belongs in its url. */
  private refuseQuery(): void {
    if (this.request.url?.includes('?') === true) {
      throw new ProblemError('bad_request', 'A query is not passed on; put it in the url');
    }
  }

  /** The body decides; headers that tell the server something else must not reach it. */
  private refuseOtherHeaders(message: Message): void {
    const { 'mcp-method': method, 'mcp-name': name } = this.request.headers;
    if (method !== undefined && method !== message.method) {
      throw new ProblemError('bad_request', 'Mcp-Method and the body differ');
    }
    if (name !== undefined && message.tool !== undefined && name !== message.tool) {
      throw new ProblemError('bad_request', 'Mcp-Name and the body differ');
    }
  }
}
