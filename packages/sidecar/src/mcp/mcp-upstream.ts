import { isDeepStrictEqual } from 'node:util';
import type { ExchangeParts } from '../relay/exchange';
import type { StdioCommand, UrlUpstream } from '../sidecar-file';
import { Effects } from './effects';
import { HOLDING_LIMITS, Holdings, type HoldingLimits } from './holdings';
import { Leavings } from './leavings';
import type { McpExchangeParts } from './mcp-exchange';
import { HttpMcpServer, type McpServer } from './mcp-server';
import { StdioMcpServer } from './stdio/stdio-mcp-server';

/** How long what agents left open is ended for when the sidecar stops. */
const LEAVING_MS = 1_000;
/** Of one wrapped stdio server: one for each session. */
const MAX_PROCESSES = 64;

/** One MCP server that is served, with what agents have open there. */
export class McpUpstream {
  readonly parts: McpExchangeParts;
  private readonly server: McpServer;
  private readonly leavings: Leavings;
  private readonly holdings: Holdings;

  /** @param before the same server under an older config: what agents have open there stays theirs */
  constructor(
    readonly upstream: UrlUpstream,
    parts: ExchangeParts,
    limits: Partial<HoldingLimits> = {},
    before?: McpUpstream,
  ) {
    const { metrics, logger, dispatcher } = parts;
    const { name } = upstream;
    const server =
      upstream.command === undefined
        ? new HttpMcpServer(upstream, dispatcher)
        : (before?.server ?? stdioServer(upstream, upstream.command, parts));
    const leavings = new Leavings({ upstream: name, server, metrics, logger });
    this.server = server;
    this.leavings = leavings;
    this.holdings =
      before?.holdings ??
      new Holdings({ now: () => performance.now(), limits: { ...HOLDING_LIMITS, ...limits } });
    const { holdings } = this;
    holdings.onLeft = (left, ending) => leavings.end(left, ending);
    this.parts = { ...parts, server, holdings, leavings, effects: new Effects(upstream) };
  }

  /** Is it the same server still, whatever else the config now says of it? */
  isSameServer({ url, command }: UrlUpstream): boolean {
    return url === this.upstream.url && isDeepStrictEqual(command, this.upstream.command);
  }

  /** Everything that agents have open there is ended: the server is not served any more. */
  retire(): void {
    for (const left of this.holdings.leave()) this.leavings.end(left, 'withdrawn');
    void this.close();
  }

  /** Ends what kills have left to end; what the living have open is theirs to go on with. */
  async close(): Promise<void> {
    await this.leavings.stop(LEAVING_MS);
    await this.server.close();
  }
}

function stdioServer(
  { name }: UrlUpstream,
  command: StdioCommand,
  { logger, limits }: ExchangeParts,
): StdioMcpServer {
  const maxBodyBytes = limits.bodyBytes;
  return new StdioMcpServer({ name, command, maxSessions: MAX_PROCESSES, maxBodyBytes, logger });
}
