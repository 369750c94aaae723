import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestId } from '@modelcontextprotocol/sdk/types.js';
import type { CallContext } from '@sever/enforcement';
import { boundaryName, ProblemError } from '@sever/protocol';
import type { Dispatcher } from 'undici';
import { strictness } from '../config/strictness';
import { abortable } from '../relay/abortable';
import { Exchange, type Admitted, type ExchangeParts } from '../relay/exchange';
import { mediaType, toUpstream } from '../relay/headers';
import { HoldGate } from '../relay/hold-gate';
import { readBody } from '../relay/read-body';
import type { RefusalForm } from '../relay/refusal-form';
import { bytesOf } from '../relay/upstream-request';
import { withheldFrom } from '../relay/withheld';
import type { UrlUpstream } from '../sidecar-file';
import { AgentView } from './agent-view';
import { contextOf } from './called';
import type { Effects } from './effects';
import type { Session } from './holding';
import type { Holdings } from './holdings';
import type { Leavings } from './leavings';
import type { McpServer } from './mcp-server';
import { idIn, readMessage, type Message } from './message';
import { refuseOtherHeaders, revisionOf } from './protocol-headers';
import { readResponse } from './read-response';
import type { BegunTask } from './read-result';
import { rpcError, rpcErrorEvent } from './rpc-error';

/** How much of a refused request is read, and for how long, only to find the id that the error should carry. */
const PEEK_BYTES = 64 * 1_024;
const PEEK_MS = 1_000;
/** Longer ids than any server makes, which would only fill the memory. */
const MAX_SESSION_ID = 1_024;

export interface McpExchangeParts extends ExchangeParts {
  readonly server: McpServer;
  readonly effects: Effects;
  readonly holdings: Holdings;
  readonly leavings: Leavings;
}

/** One exchange with an MCP server over Streamable HTTP: what it is about stands in the body. */
export class McpExchange extends Exchange {
  private id: RequestId | undefined;
  private revision: string | undefined;

  constructor(
    upstream: UrlUpstream,
    request: IncomingMessage,
    response: ServerResponse,
    protected override readonly parts: McpExchangeParts,
  ) {
    super(upstream, request, response, parts);
  }

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
    // The token is checked before the body is read, so that a revoked agent's upload is cut like any other call.
    const upload = await this.admit(token, this.unread());
    this.refuseQuery();
    this.revision = revisionOf(this.request);
    const body = this.request.method === 'POST' ? await this.body() : undefined;
    const message = body === undefined ? undefined : readMessage(body);
    if (body !== undefined) this.note.carries(body);
    this.id = message?.id;
    if (message !== undefined) refuseOtherHeaders(this.request, message, this.revision);
    const session = this.session(upload);
    const admitted =
      message === undefined ? upload : await this.admitMessage(token, message, upload);
    this.parts.metrics.decided(admitted);
    const gate = new HoldGate(admitted.call);
    if (session !== undefined) session.open += 1;
    try {
      if (session !== undefined && this.request.method === 'DELETE') {
        // Afterwards nobody could reach them, and a kill would find them running.
        const tasks = this.parts.holdings.tasksIn(upload.caller, session);
        await abortable(this.parts.leavings.cancelAll(tasks), this.signal);
      }
      const response = await this.send(token, body, gate);
      this.noteSession(response, admitted, session);
      await this.handOnRead(response, gate, {
        message,
        session,
        admitted,
        view: new AgentView({ ...this.parts, upstream: this.upstream.name }, token, admitted),
      });
    } finally {
      if (session !== undefined) session.open -= 1;
    }
  }

  protected override async beforeRefusal(): Promise<void> {
    if (this.request.method !== 'POST' || this.request.readableEnded) return;
    const patience = AbortSignal.any([this.signal, AbortSignal.timeout(PEEK_MS)]);
    const body = await readBody(this.request, PEEK_BYTES, patience).catch(() => undefined);
    this.id = body === undefined ? undefined : idIn(body);
    if (body !== undefined) this.noteAsked(body);
  }

  /** What a refused agent would have called, for the record alone. */
  private noteAsked(body: Buffer): void {
    try {
      const [called] = readMessage(body).called;
      if (called === undefined) return;
      this.note.asked(`${this.upstream.name}/${boundaryName(called)}`);
      this.note.carries(body);
    } catch {
      // It could not have been passed on either.
    }
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

  /** Until it is read it may be about something that the config makes less strict than the rest. */
  private unread(): CallContext {
    const { name, tools = [] } = this.upstream;
    const isMixed = tools.some(({ mode }) => mode === 'best_effort');
    const { mode, ...rest } = strictness(this.upstream);
    return { upstream: name, ...rest, ...(!isMixed && mode && { mode }) };
  }

  /** Whatever the message is about is admitted, so that an order against any of it cuts the exchange. */
  private async admitMessage(token: string, message: Message, upload: Admitted): Promise<Admitted> {
    const { name } = this.upstream;
    const { effects } = this.parts;
    const contexts = message.called.map((called) => contextOf(name, called, effects.terms(called)));
    for (const id of message.taskIds) {
      const task = this.parts.holdings.task(upload.caller, id);
      // To whom it does not belong it does not exist, whether or not it does.
      if (task === undefined) {
        throw new ProblemError('bad_request', 'This task is unknown here', {
          mcp_error: 'InvalidParams',
        });
      }
      // What its tool may no longer do is not to be had by asking for the result either; ending it always is.
      if (task.tool !== undefined && message.method !== 'tasks/cancel') {
        const called = { kind: 'tool', name: task.tool } as const;
        contexts.push(contextOf(name, called, effects.terms(called)));
      }
    }
    const [first, ...others] = contexts;
    if (first === undefined) {
      const terms = strictness(this.upstream);
      if (terms.mode === this.unread().mode) return upload;
      return await this.admitAs(token, { upstream: name, ...terms }, upload);
    }
    const admitted = await this.admitAs(token, first, upload);
    for (const context of others) await this.admit(token, context);
    return admitted;
  }

  private session(upload: Admitted): Session | undefined {
    const id = this.request.headers['mcp-session-id'];
    if (id === undefined) {
      if (this.request.method === 'GET' && 'last-event-id' in this.request.headers) {
        // Without a session nobody can tell whose stream would go on here.
        throw new ProblemError('bad_request', 'Last-Event-ID goes with an Mcp-Session-Id');
      }
      return undefined;
    }
    const session = typeof id === 'string' ? this.parts.holdings.session(upload, id) : undefined;
    if (session !== undefined) return session;
    throw new ProblemError('not_found', 'This session is unknown here; initialize a new one');
  }

  private async send(
    token: string,
    body: Buffer | undefined,
    gate: HoldGate,
  ): Promise<Dispatcher.ResponseData> {
    return await this.parts.server.send({
      method: this.request.method as 'GET' | 'POST' | 'DELETE',
      headers: toUpstream(this.request, withheldFrom(this.upstream, token)),
      body,
      gate,
      signal: this.signal,
    });
  }

  /** A session belongs to whoever was given it first, and is over when the upstream says that it does not know it. */
  private noteSession(
    { statusCode, headers }: Dispatcher.ResponseData,
    admitted: Admitted,
    session: Session | undefined,
  ): void {
    const { holdings } = this.parts;
    this.signal.throwIfAborted();
    if (session !== undefined) {
      session.revision = this.revision ?? session.revision;
      const isOver = statusCode === 404 || (this.request.method === 'DELETE' && statusCode < 300);
      if (isOver) return holdings.unbind(admitted.caller, session.id);
    }
    const given = headers['mcp-session-id'];
    if (given === undefined || given === session?.id || statusCode >= 300) return;
    if (typeof given !== 'string' || given.length > MAX_SESSION_ID) throw this.misled();
    if (!holdings.bind(admitted, given, this.revision)) throw this.misled();
  }

  private misled(): ProblemError {
    return new ProblemError(
      'upstream_unreachable',
      `The tool server ${this.upstream.name} gives a session that is another agent's, or no session id`,
    );
  }

  private async handOnRead(
    response: Dispatcher.ResponseData,
    gate: HoldGate,
    { message, session, admitted, view }: HandedOn,
  ): Promise<void> {
    const { holdings, effects, limits } = this.parts;
    const onTask = ({ id, ttlMs }: BegunTask): void => {
      const called = message?.called[0];
      const tool = called?.kind === 'tool' ? called.name : undefined;
      const revision = this.revision ?? session?.revision;
      holdings.addTask(admitted, { id, tool, sessionId: session?.id, revision }, ttlMs);
    };
    const bytes = bytesOf(response, this.upstream, this.signal);
    const { bodyBytes: listBytes, eventBytes } = limits;
    const reading = { message, listBytes, eventBytes, view, effects, onTask };
    const read = await readResponse(response, bytes, reading);
    await this.handOn({ ...response, ...read.head }, gate, read.bytes);
  }
}

interface HandedOn {
  readonly message: Message | undefined;
  readonly session: Session | undefined;
  readonly admitted: Admitted;
  readonly view: AgentView;
}
