import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server that does to a request just what the test says, for upstreams that no MCP SDK would make. */
export class RawUpstream {
  private constructor(private readonly http: Server) {}

  static async start(listener: RequestListener): Promise<RawUpstream> {
    const http = createServer(listener);
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    return new RawUpstream(http);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}/mcp`;
  }

  async close(): Promise<void> {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}
