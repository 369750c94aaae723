import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { ReadableStream as WebStream } from 'node:stream/web';
import type { Logger } from '@sever/enforcement';
import type { RequestId } from '@modelcontextprotocol/sdk/types.js';
import { ProblemError } from '@sever/protocol';
import type { Dispatcher } from 'undici';
import { abortable } from '../../relay/abortable';
import type { StdioCommand } from '../../sidecar-file';
import type { McpServer, ServerRequest } from '../mcp-server';
import { ChildServer } from './child-server';
import { StdioSession } from './stdio-session';

/** What its transport wants to see as its address; no connection is made to it. */
const ADDRESS = 'http://stdio.invalid/mcp';

export interface StdioMcpServerOptions {
  readonly name: string;
  readonly command: StdioCommand;
  /** Processes at once. */
  readonly maxSessions: number;
  readonly maxBodyBytes: number;
  readonly logger: Logger;
}

/** A stdio server that the sidecar starts, once for each session, so that no agent shares a process with another. */
export class StdioMcpServer implements McpServer {
  private readonly sessions = new Map<string, StdioSession>();
  /** Those without an id yet, too. */
  private readonly open = new Set<StdioSession>();
  private closed = false;

  constructor(private readonly options: StdioMcpServerOptions) {}

  async send(request: ServerRequest): Promise<Dispatcher.ResponseData> {
    const { signal, gate, headers } = request;
    await gate.pass(signal);
    const id = headers['mcp-session-id'];
    const known = typeof id === 'string' ? this.sessions.get(id) : undefined;
    const asked = asksIn(request.body);
    if (id !== undefined && known === undefined) return refusal(404);
    if (known === undefined && asked?.method !== 'initialize') return refusal(400);
    const session = known ?? (await this.openSession(signal));
    try {
      return await this.exchange(session, request, asked?.id);
    } finally {
      // An initialize that was refused has opened nothing.
      if (known === undefined && ![...this.sessions.values()].includes(session)) {
        void session.close();
      }
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.open].map((session) => session.close()));
  }

  private async exchange(
    session: StdioSession,
    { method, headers, body, signal }: ServerRequest,
    asked: RequestId | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const onAbort = (): void => (asked === undefined ? undefined : session.abandon(asked));
    signal.addEventListener('abort', onAbort, { once: true });
    const response = await abortable(
      session.http.handleRequest(
        new Request(ADDRESS, { method, headers: headersOf(headers), body: body ?? null }),
      ),
      signal,
    );
    return dataOf(response, signal);
  }

  private async openSession(signal: AbortSignal): Promise<StdioSession> {
    const { name, command, maxSessions, maxBodyBytes, logger } = this.options;
    if (this.closed || this.open.size >= maxSessions) {
      throw new ProblemError(
        'unavailable',
        `As many sessions of ${name} run as may (${maxSessions}); end one, or wait`,
      );
    }
    const child = new ChildServer(command);
    child.onerror = (error) =>
      logger.warn({ upstream: name, error: String(error) }, 'a stdio server');
    const session: StdioSession = new StdioSession({
      ...{ child, newId: randomUUID, maxBodyBytes },
      onOpen: (id) => void this.sessions.set(id, session),
      onClosed: () => {
        this.open.delete(session);
        for (const [id, other] of this.sessions) if (other === session) this.sessions.delete(id);
        logger.info(
          { upstream: name, pid: child.pid, said: child.lastWords },
          'a stdio server ended',
        );
      },
    });
    this.open.add(session);
    try {
      await abortable(session.start(), signal);
    } catch (cause) {
      void session.close();
      signal.throwIfAborted();
      const why = (cause as NodeJS.ErrnoException).code ?? 'unknown';
      const detail = `The tool server ${name} cannot be started (${why}); look at its command`;
      throw new ProblemError('upstream_unreachable', detail, {}, { cause });
    }
    return session;
  }
}

function headersOf(headers: ServerRequest['headers']): Headers {
  const web = new Headers();
  for (const [name, values] of Object.entries(headers))
    for (const value of [values].flat()) web.append(name, value);
  return web;
}

/** The body is a message that was read and accepted before. */
function asksIn(body: Buffer | undefined): { method?: string; id?: RequestId } | undefined {
  if (body === undefined) return undefined;
  const { method, id } = JSON.parse(body.toString('utf8')) as { method?: string; id?: RequestId };
  return {
    ...(method !== undefined && { method }),
    ...(method !== undefined && id !== undefined && { id }),
  };
}

function dataOf(response: Response, signal: AbortSignal): Dispatcher.ResponseData {
  const stream = response.body as WebStream<Uint8Array> | null;
  const body = Readable.from(
    stream === null ? [] : buffersOf(Readable.fromWeb(stream, { signal })),
  );
  body.on('error', () => undefined);
  return {
    statusCode: response.status,
    headers: Object.fromEntries(response.headers),
    body,
  } as unknown as Dispatcher.ResponseData;
}

async function* buffersOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) yield Buffer.from(chunk);
}

/** As servers of this transport say it of themselves. */
function refusal(statusCode: 400 | 404): Dispatcher.ResponseData {
  const message = statusCode === 404 ? 'Session not found' : 'Initialize a session first';
  const error = { code: statusCode === 404 ? -32_001 : -32_000, message };
  const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', error }));
  const headers = { 'content-type': 'application/json', 'content-length': String(body.length) };
  return { statusCode, headers, body: Readable.from([body]) } as unknown as Dispatcher.ResponseData;
}
