import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type RequestListener,
  type Server,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server that remembers what reached it, and says so. */
export class EchoUpstream {
  readonly seen: Seen[] = [];

  private constructor(readonly http: Server) {}

  /** @param first answers what it returns true for */
  static async start(
    first?: (...args: Parameters<RequestListener>) => boolean,
  ): Promise<EchoUpstream> {
    const upstream = new EchoUpstream(createServer());
    upstream.http.on('request', (request, response) => {
      if (first?.(request, response) === true) return;
      void text(request).then((body) => {
        const { method = '', url = '', headers } = request;
        upstream.seen.push({ method, url, headers, body });
        const answer = JSON.stringify({ method, url, body });
        response.setHeader('content-type', 'application/json');
        response.setHeader('content-length', Buffer.byteLength(answer)).end(answer);
      });
    });
    upstream.http.listen(0, '127.0.0.1');
    await once(upstream.http, 'listening');
    return upstream;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}
