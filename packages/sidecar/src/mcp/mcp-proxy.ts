import type { FastifyInstance } from 'fastify';
import type { ExchangeParts } from '../relay/exchange';
import type { Exchanges } from '../relay/exchanges';
import type { UrlUpstream } from '../sidecar-file';
import { McpFront } from './mcp-front';

/** Reverse proxy to one MCP server alone. */
export function registerMcp(
  app: FastifyInstance,
  upstream: UrlUpstream,
  exchanges: Exchanges,
  parts: ExchangeParts,
): void {
  const find = (name: string) => (name === upstream.name ? { upstream, parts } : undefined);
  new McpFront(app, { find, exchanges });
}
