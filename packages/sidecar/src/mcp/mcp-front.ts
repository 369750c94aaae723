import type { FastifyInstance } from 'fastify';
import type { ExchangeParts } from '../relay/exchange';
import type { Exchanges } from '../relay/exchanges';
import type { UrlUpstream } from '../sidecar-file';
import type { HoldingLimits } from './holdings';
import { McpExchange } from './mcp-exchange';
import { McpUpstream } from './mcp-upstream';

interface Route {
  readonly upstream: UrlUpstream;
  readonly parts: ExchangeParts;
}

export interface McpFrontParts {
  /** The MCP server of that name which is served at this moment. */
  readonly find: (name: string) => Route | undefined;
  readonly exchanges: Exchanges;
  readonly limits?: Partial<HoldingLimits> | undefined;
}

/** Reverse proxy to MCP servers, each at exactly `/<its name>`. */
export class McpFront {
  private readonly upstreams = new Map<string, McpUpstream>();

  constructor(
    app: FastifyInstance,
    private readonly parts: McpFrontParts,
  ) {
    app.route({
      method: ['GET', 'POST', 'DELETE'],
      url: '/:upstream',
      // The exchange takes over before the body is touched: it decides first and reads then.
      onRequest: (request, reply, next) => {
        // The router decodes and forgives; the path that was asked for must be this one, byte for byte.
        const path = request.raw.url?.split('?', 1)[0] ?? '';
        const upstream = this.find(path.slice(1));
        if (upstream === undefined) return next();
        reply.hijack();
        this.parts.exchanges.run(
          new McpExchange(upstream.upstream, request.raw, reply.raw, upstream.parts),
        );
      },
      handler: (_request, reply) => reply.callNotFound(),
    });
  }

  /** The config has changed: what agents have open at servers that it leaves out is ended. */
  reload(): void {
    for (const name of [...this.upstreams.keys()]) this.find(name);
  }

  /** `<upstream>/<name>` of every tool that a server has listed so far. */
  get tools(): string[] {
    return [...this.upstreams].flatMap(([name, { parts }]) =>
      [...parts.effects.listed].map((tool) => `${name}/${tool}`),
    );
  }

  /** Ends upstream what kills have left to end there. */
  async close(): Promise<void> {
    await Promise.all([...this.upstreams.values()].map((upstream) => upstream.close()));
  }

  private find(name: string): McpUpstream | undefined {
    const known = this.upstreams.get(name);
    const route = this.parts.find(name);
    if (route === undefined) {
      this.upstreams.delete(name);
      known?.retire();
      return undefined;
    }
    const { upstream, parts } = route;
    if (known?.upstream === upstream) return known;
    const same = known?.isSameServer(upstream) === true ? known : undefined;
    if (same === undefined) known?.retire();
    const found = new McpUpstream(upstream, parts, this.parts.limits, same);
    this.upstreams.set(name, found);
    return found;
  }
}
