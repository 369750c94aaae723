import type { Logger } from '@sever/enforcement';
import { fastify, type FastifyInstance } from 'fastify';
import type { Dispatcher } from 'undici';
import { registerCheck } from './check-route';
import type { Enforcer } from './enforcer';
import { registerHalt } from './halt-route';
import { HttpFront } from './http/http-front';
import { McpFront } from './mcp/mcp-front';
import { Metrics } from './metrics';
import { answerWithProblems } from './problem-reply';
import type { ExchangeLimits } from './relay/exchange';
import { Exchanges } from './relay/exchanges';
import { connectionsTo } from './relay/upstream-connections';
import { ServedUpstreams, type Route } from './served-upstreams';
import type { Settings } from './settings';
import { SidecarError } from './sidecar-error';
import type { Upstream } from './sidecar-file';
import { registerStatus } from './status-routes';

const DEFAULT_LIMITS: ExchangeLimits = {
  bodyBytes: 4 * 1_024 * 1_024,
  eventBytes: 1_024 * 1_024,
  graceMs: 100,
};

export interface SidecarParts {
  readonly enforcer: Enforcer;
  readonly logger: Logger;
  /** By default 4 MiB a message, 1 MiB an event, 100 ms for a client whose call was cut. */
  readonly limits?: Partial<ExchangeLimits>;
  /** Milliseconds that running calls get when the sidecar stops; default 2000. */
  readonly drainMs?: number;
  /** Connections to one upstream, which are closed with the sidecar. */
  readonly connect?: (upstream: Upstream) => Dispatcher;
}

/**
 * The listener: `/check`, `/state`, `/healthz`, `/readyz`, `/metrics`, and `/<upstream>` for each upstream, of kind `http`
 * with all that is below it.
 *
 * @example
 * const sidecar = await Sidecar.listen(settings, { enforcer, logger: console });
 * console.log(sidecar.url);
 * await sidecar.close();
 */
export class Sidecar {
  private closing: Promise<void> | undefined;
  private readonly app: FastifyInstance;
  private readonly exchanges = new Exchanges();
  private readonly served: ServedUpstreams;
  private readonly mcp: McpFront;

  private constructor(
    private readonly parts: SidecarParts,
    settings: Pick<Settings, 'upstreams'>,
  ) {
    const { enforcer, logger } = parts;
    const { exchanges } = this;
    const metrics = new Metrics(enforcer);
    const limits = { ...DEFAULT_LIMITS, ...parts.limits };
    this.served = new ServedUpstreams(
      settings.upstreams,
      { enforcer, metrics, logger, limits },
      parts.connect ?? ((upstream) => connectionsTo(upstream)),
    );
    const { served } = this;
    const front = new HttpFront({ find: (name) => routeTo(served, 'http', name), exchanges });
    this.app = fastify({
      exposeHeadRoutes: false,
      forceCloseConnections: true,
      serverFactory: (behind) => front.serve(behind),
    });
    const { app } = this;
    answerWithProblems(app, logger, served);
    registerCheck(app, enforcer, metrics);
    registerHalt(app, { enforcer, metrics, logger });
    enforcer.onAlarm(({ kind }) => metrics.alarmed(kind));
    registerStatus(app, {
      enforcer,
      metrics,
      served,
      isStopping: () => this.closing !== undefined,
    });
    this.mcp = new McpFront(app, { find: (name) => routeTo(served, 'mcp', name), exchanges });
  }

  /** @throws SidecarError when the address cannot be listened on. */
  static async listen(
    settings: Pick<Settings, 'host' | 'port' | 'upstreams'>,
    parts: SidecarParts,
  ): Promise<Sidecar> {
    const sidecar = new Sidecar(parts, settings);
    const { app } = sidecar;
    const { host, port } = settings;
    try {
      await app.listen({ host, port });
    } catch (cause) {
      await app.close();
      throw new SidecarError(
        `Cannot listen on ${host}:${port} (${(cause as NodeJS.ErrnoException).code}). ` +
          'Set SEVER_SIDECAR_HOST and SEVER_SIDECAR_PORT to a free address; port 0 picks one.',
        { cause },
      );
    }
    return sidecar;
  }

  /** Where it listens, such as `http://127.0.0.1:7410`. */
  get url(): string {
    const address = this.app.server.address();
    if (address === null || typeof address === 'string') {
      throw new SidecarError('The sidecar does not listen any more');
    }
    const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
    return `http://${host}:${address.port}`;
  }

  /** Refuses everything new, lets running calls end or cuts them, tells the control plane that it leaves, closes. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    await this.exchanges.stop(this.parts.drainMs ?? 2_000);
    await this.mcp.close();
    await this.served.close();
    try {
      await this.parts.enforcer.close();
    } finally {
      await this.app.close();
    }
  }
}

function routeTo(served: ServedUpstreams, kind: Upstream['kind'], name: string): Route | undefined {
  const route = served.find(name);
  return route?.upstream.kind === kind ? route : undefined;
}
