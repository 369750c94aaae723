import type { FastifyInstance } from 'fastify';
import type { Upstream } from '../sidecar-file';
import { Exchange, type ExchangeLimits, type ExchangeParts } from './exchange';

export const DEFAULT_LIMITS: ExchangeLimits = {
  bodyBytes: 4 * 1_024 * 1_024,
  eventBytes: 1_024 * 1_024,
  graceMs: 100,
};

/** Reverse proxy to MCP servers over Streamable HTTP, each at exactly `/<its name>`. */
export class McpProxy {
  private readonly open = new Set<Exchange>();
  private stopping = false;
  private onIdle: (() => void) | undefined;

  constructor(private readonly parts: ExchangeParts) {}

  register(app: FastifyInstance, upstream: Upstream): void {
    const path = `/${upstream.name}`;
    app.route({
      method: ['GET', 'POST', 'DELETE'],
      url: path,
      // The exchange takes over before the body is touched: it decides first and reads then.
      onRequest: (request, reply, next) => {
        // The router decodes and forgives; the path that was asked for must be this one, byte for byte.
        if (request.raw.url?.split('?', 1)[0] !== path) return next();
        reply.hijack();
        this.run(new Exchange(upstream, request.raw, reply.raw, this.parts));
      },
      handler: (_request, reply) => reply.callNotFound(),
    });
  }

  /**
   * Refuses new calls at once, gives running ones `drainMs` to end, then cuts what is left. Streams that only listen
   * are cut at once, since they never end.
   */
  async stop(drainMs: number): Promise<void> {
    this.stopping = true;
    for (const exchange of this.open) if (exchange.isListening) exchange.end();
    const idle = new Promise<void>((resolve) => {
      if (this.open.size === 0) resolve();
      else this.onIdle = resolve;
    });
    const cut = setTimeout(() => {
      for (const exchange of this.open) exchange.end();
    }, drainMs);
    await idle;
    clearTimeout(cut);
    await this.parts.dispatcher.destroy();
  }

  private run(exchange: Exchange): void {
    this.open.add(exchange);
    if (this.stopping) exchange.end();
    void exchange.run().finally(() => {
      this.open.delete(exchange);
      if (this.open.size === 0) this.onIdle?.();
    });
  }
}
