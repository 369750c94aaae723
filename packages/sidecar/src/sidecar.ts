import type { Logger } from '@sever/enforcement';
import { fastify, type FastifyInstance } from 'fastify';
import { Agent, type Dispatcher } from 'undici';
import { registerCheck } from './check-route';
import type { Enforcer } from './enforcer';
import { registerHalt } from './halt-route';
import { registerMcp } from './mcp/mcp-proxy';
import { Metrics } from './metrics';
import { answerWithProblems } from './problem-reply';
import type { ExchangeLimits } from './relay/exchange';
import { Exchanges } from './relay/exchanges';
import type { Settings } from './settings';
import { SidecarError } from './sidecar-error';
import { hasUrl } from './sidecar-file';
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
  /** Connections to the upstreams; closed with the sidecar. */
  readonly dispatcher?: Dispatcher;
}

/**
 * The listener: `/check`, `/state`, `/healthz`, `/readyz`, `/metrics`, and `/<upstream>` for each upstream.
 *
 * @example
 * const sidecar = await Sidecar.listen(settings, { enforcer, logger: console });
 * console.log(sidecar.url);
 * await sidecar.close();
 */
export class Sidecar {
  private closing: Promise<void> | undefined;
  private readonly exchanges = new Exchanges();
  private readonly dispatcher: Dispatcher;

  private constructor(
    private readonly app: FastifyInstance,
    private readonly parts: SidecarParts,
    settings: Pick<Settings, 'upstreams'>,
  ) {
    const { enforcer, logger } = parts;
    const metrics = new Metrics(enforcer);
    const { upstreams } = settings;
    this.dispatcher = parts.dispatcher ?? new Agent({ connect: { timeout: 5_000 } });
    answerWithProblems(app, logger, upstreams);
    registerCheck(app, enforcer, metrics);
    registerHalt(app, { enforcer, metrics, logger });
    enforcer.onAlarm(({ kind }) => metrics.alarmed(kind));
    registerStatus(app, {
      enforcer,
      metrics,
      upstreams,
      isStopping: () => this.closing !== undefined,
    });
    const { dispatcher, exchanges } = this;
    const limits = { ...DEFAULT_LIMITS, ...parts.limits };
    const exchange = { enforcer, metrics, logger, dispatcher, limits };
    for (const upstream of upstreams.filter(hasUrl))
      registerMcp(app, upstream, exchanges, exchange);
  }

  /** @throws SidecarError when the address cannot be listened on. */
  static async listen(
    settings: Pick<Settings, 'host' | 'port' | 'upstreams'>,
    parts: SidecarParts,
  ): Promise<Sidecar> {
    const app = fastify({
      exposeHeadRoutes: false,
      forceCloseConnections: true,
      // Slow uploads end here; a response may take as long as its tool does.
      requestTimeout: 60_000,
    });
    const sidecar = new Sidecar(app, parts, settings);
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
    await this.dispatcher.destroy();
    try {
      await this.parts.enforcer.close();
    } finally {
      await this.app.close();
    }
  }
}
