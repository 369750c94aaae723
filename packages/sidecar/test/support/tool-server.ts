import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { z } from 'zod';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** The connection was closed before the response had ended. */
  cutOff: boolean;
  ended: boolean;
}

/** A real MCP server over Streamable HTTP that remembers what reached it. */
export class ToolServer {
  readonly seen: Seen[] = [];
  /** How often `tick` has reported progress, over all its calls. */
  ticks = 0;
  private stopped = false;
  private readonly sessions = new Map<string, StreamableHTTPServerTransport>();
  private readonly http: Server;

  private constructor(private readonly json: boolean) {
    this.http = createServer((request, response) => {
      const seen: Seen = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        cutOff: false,
        ended: false,
      };
      this.seen.push(seen);
      response.once('close', () => {
        seen.ended = true;
        seen.cutOff = !response.writableFinished;
      });
      void this.transport(request.headers['mcp-session-id']).then((transport) =>
        transport.handleRequest(request, response),
      );
    });
  }

  /** `json`: answers calls with plain JSON rather than with a stream of events. */
  static async start(options: { json?: boolean } = {}): Promise<ToolServer> {
    const server = new ToolServer(options.json ?? false);
    server.http.listen(0, '127.0.0.1');
    await once(server.http, 'listening');
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}/mcp`;
  }

  async close(): Promise<void> {
    this.stopped = true;
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  private async transport(session: string | string[] | undefined) {
    const known = typeof session === 'string' ? this.sessions.get(session) : undefined;
    if (known !== undefined) return known;
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      enableJsonResponse: this.json,
      onsessioninitialized: (id) => void this.sessions.set(id, transport),
    });
    await this.tools().connect(transport);
    return transport;
  }

  private tools(): McpServer {
    const server = new McpServer({ name: 'tools-under-test', version: '1.0.0' });
    server.registerTool(
      'add',
      { description: 'Adds', inputSchema: { a: z.number(), b: z.number() } },
      ({ a, b }) => ({ content: [{ type: 'text', text: String(a + b) }] }),
    );
    server.registerTool(
      'tick',
      {
        description: 'Reports progress until it has ticked so often',
        inputSchema: { times: z.number() },
      },
      async ({ times }, { _meta, sendNotification }) => {
        for (let progress = 1; progress <= times && !this.stopped; progress += 1) {
          this.ticks += 1;
          await sendNotification({
            method: 'notifications/progress',
            params: { progressToken: _meta?.progressToken ?? 0, progress, total: times },
          });
          await delay(10);
        }
        return { content: [{ type: 'text', text: 'ticked' }] };
      },
    );
    return server;
  }
}
