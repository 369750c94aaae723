import type { FastifyInstance } from 'fastify';
import type { ExchangeParts } from '../relay/exchange';
import type { Exchanges } from '../relay/exchanges';
import type { UrlUpstream } from '../sidecar-file';
import { McpExchange } from './mcp-exchange';

/** Reverse proxy to an MCP server over Streamable HTTP, at exactly `/<its name>`. */
export function registerMcp(
  app: FastifyInstance,
  upstream: UrlUpstream,
  exchanges: Exchanges,
  parts: ExchangeParts,
): void {
  const path = `/${upstream.name}`;
  app.route({
    method: ['GET', 'POST', 'DELETE'],
    url: path,
    // The exchange takes over before the body is touched: it decides first and reads then.
    onRequest: (request, reply, next) => {
      // The router decodes and forgives; the path that was asked for must be this one, byte for byte.
      if (request.raw.url?.split('?', 1)[0] !== path) return next();
      reply.hijack();
      exchanges.run(new McpExchange(upstream, request.raw, reply.raw, parts));
    },
    handler: (_request, reply) => reply.callNotFound(),
  });
}
