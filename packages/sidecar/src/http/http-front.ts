import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { Duplex } from 'node:stream';
import type { Exchanges } from '../relay/exchanges';
import type { Route } from '../served-upstreams';
import { HttpExchange } from './http-exchange';
import { asPlainRequest, isWebSocket } from './plain-request';
import { WebSocketExchange } from './web-socket-exchange';

/** Until a request, other than an upload through the sidecar, must have come whole. */
const REQUEST_MS = 60_000;

export interface HttpRoutes {
  /** The upstream of kind `http` of that name. */
  find(name: string): Route | undefined;
  readonly exchanges: Exchanges;
}

/**
 * The server's own front: requests to upstreams of kind `http` are taken as they came, before any router has decoded
 * or forgiven something in their path; all others go on to the listener behind.
 */
export class HttpFront {
  constructor(private readonly routes: HttpRoutes) {}

  serve(behind: RequestListener): Server {
    // Uploads may take as long as they do; `whole` ends what does not belong to one.
    const server = createServer({ requestTimeout: 0, headersTimeout: REQUEST_MS });
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      if (!this.take(request, response)) behind(whole(request), response);
    });
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      const go = (): void => response.writeContinue();
      if (this.take(request, response, go)) return;
      go();
      behind(whole(request), response);
    });
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy());
      const route = isWebSocket(request) ? this.routeOf(request) : undefined;
      // An upgrade is an offer, which a server may pass over (RFC 9110 §7.8).
      if (route === undefined) return asPlainRequest(server, request, socket, head);
      const { upstream, parts } = route;
      this.routes.exchanges.run(WebSocketExchange.of(upstream, request, socket, head, parts));
    });
    return server;
  }

  private take(request: IncomingMessage, response: ServerResponse, onRead?: () => void): boolean {
    const route = this.routeOf(request);
    if (route === undefined) return false;
    const { upstream, parts } = route;
    this.routes.exchanges.run(new HttpExchange(upstream, request, response, parts, onRead));
    return true;
  }

  private routeOf({ url = '' }: IncomingMessage): Route | undefined {
    const name = /^\/([a-z0-9-]{1,32})(?:[/?]|$)/.exec(url)?.[1];
    return name === undefined ? undefined : this.routes.find(name);
  }
}

function whole(request: IncomingMessage): IncomingMessage {
  const late = setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, REQUEST_MS).unref();
  request.once('end', () => clearTimeout(late)).once('close', () => clearTimeout(late));
  return request;
}
