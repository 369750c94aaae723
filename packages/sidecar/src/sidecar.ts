import type { Logger } from '@sever/enforcement';
import { fastify, type FastifyInstance } from 'fastify';
import type { Dispatcher } from 'undici';
import { CallLog } from './calls/call-log';
import { Ungoverned } from './calls/ungoverned';
import { registerCheck } from './check-route';
import { Decider } from './decisions/decider';
import { GrpcDecisions } from './decisions/grpc-decisions';
import { HttpDecisions } from './decisions/http-decisions';
import { strictness } from './config/strictness';
import type { Enforcer } from './enforcer';
import { registerHalt } from './halt-route';
import { HttpFront } from './http/http-front';
import { McpFront } from './mcp/mcp-front';
import { registerMetadata } from './metadata-route';
import { Metrics } from './metrics';
import { answerWithProblems } from './problem-reply';
import type { ExchangeLimits } from './relay/exchange';
import { Exchanges } from './relay/exchanges';
import { connectionsTo } from './relay/upstream-connections';
import { reload, type Reloaded } from './reload';
import { ServedReport } from './served-report';
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
 * The listener: `/check`, `/state`, `/healthz`, `/readyz`, `/metrics`, `/ext-authz/…`, and `/<upstream>` for each upstream,
 * of kind `http` with all that is below it. Decisions over gRPC have a port of their own.
 *
 * @example
 * const sidecar = await Sidecar.listen(settings, { enforcer, logger: console });
 * console.log(sidecar.url);
 * await sidecar.close();
 */
export class Sidecar {
  private closing: Promise<void> | undefined;
  private settings: Reloaded;
  private readonly metrics: Metrics;
  private readonly app: FastifyInstance;
  private readonly exchanges = new Exchanges();
  private readonly served: ServedUpstreams;
  private readonly mcp: McpFront;
  private readonly decider: Decider;
  private grpc: GrpcDecisions | undefined;
  private report: ServedReport | undefined;

  private constructor(
    private readonly parts: SidecarParts,
    settings: Reloaded,
  ) {
    const { enforcer, logger } = parts;
    const ungoverned = new Ungoverned();
    const recorder = new CallLog(enforcer, ungoverned);
    const { exchanges } = this;
    const metrics = new Metrics(enforcer);
    this.metrics = metrics;
    this.settings = settings;
    const limits = { ...DEFAULT_LIMITS, ...parts.limits };
    this.served = new ServedUpstreams(
      settings.upstreams,
      { enforcer, recorder, metrics, logger, limits, records: settings.records },
      parts.connect ?? ((upstream) => connectionsTo(upstream)),
    );
    const { served } = this;
    const isStopping = (): boolean => this.closing !== undefined;
    this.decider = new Decider({ enforcer, recorder, metrics, isStopping });
    const decisions = new HttpDecisions({
      decider: this.decider,
      find: (name) => decided(served).find((upstream) => upstream.name === name),
    });
    const front = new HttpFront({ find: (name) => routeTo(served, 'http', name), exchanges });
    this.app = fastify({
      exposeHeadRoutes: false,
      forceCloseConnections: true,
      serverFactory: (behind) => front.serve(decisions.before(behind)),
    });
    const { app } = this;
    answerWithProblems(app, logger, served);
    registerCheck(app, enforcer, metrics, (tool) => this.modeOf(tool), recorder);
    registerHalt(app, { enforcer, metrics, logger });
    enforcer.onAlarm(({ kind }) => metrics.alarmed(kind));
    registerMetadata(app, enforcer, served);
    registerStatus(app, { enforcer, metrics, served, ungoverned, isStopping });
    this.mcp = new McpFront(app, { find: (name) => routeTo(served, 'mcp', name), exchanges });
  }

  /** @throws SidecarError when the address cannot be listened on. */
  static async listen(
    settings: Reloaded & Pick<Settings, 'host' | 'port' | 'upstreams' | 'grpcPort'>,
    parts: SidecarParts,
  ): Promise<Sidecar> {
    const sidecar = new Sidecar(parts, settings);
    const { app } = sidecar;
    const { host, port, grpcPort } = settings;
    try {
      await sidecar.decideOverGrpc(host, grpcPort);
      await app.listen({ host, port });
    } catch (cause) {
      sidecar.grpc?.close();
      await app.close();
      if (cause instanceof SidecarError) throw cause;
      throw new SidecarError(
        `Cannot listen on ${host}:${port} (${(cause as NodeJS.ErrnoException).code}). ` +
          'Set SEVER_SIDECAR_HOST and SEVER_SIDECAR_PORT to a free address; port 0 picks one.',
        { cause },
      );
    }
    sidecar.report = new ServedReport({
      ...{ enforcer: parts.enforcer, logger: parts.logger },
      upstreams: () => sidecar.served.all,
      tools: () => sidecar.mcp.tools,
    });
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

  /** Where decisions over gRPC are served, such as `127.0.0.1:7411`. */
  get grpcAddress(): string | undefined {
    return this.grpc?.address;
  }

  /**
   * Puts a changed config into force for new calls; a fault in it changes nothing, and is logged and counted. Calls that
   * run, also of an upstream that is no more, run on as they began: within reach of every kill.
   *
   * @param read reads and checks it; its SidecarError is the fault
   */
  reload(read: () => Reloaded): void {
    const { served, metrics } = this;
    this.settings = reload(this.settings, read, { served, metrics, logger: this.parts.logger });
    this.mcp.reload();
  }

  /** Refuses everything new, lets running calls end or cuts them, tells the control plane that it leaves, closes. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async decideOverGrpc(host: string, port: number | undefined): Promise<void> {
    if (port === undefined) return;
    const { decider, served } = this;
    const upstreams = (): Upstream[] => decided(served);
    this.grpc = await GrpcDecisions.listen({ host, port }, { decider, upstreams });
  }

  private modeOf(tool: string | undefined) {
    const [name = '', ...rest] = tool?.split('/') ?? [];
    const upstream = this.served.all.find((one) => one.name === name);
    return upstream === undefined
      ? strictness({ mode: this.settings.ownMode })
      : strictness(upstream, rest.join('/'));
  }

  private async shutDown(): Promise<void> {
    await this.exchanges.stop(this.parts.drainMs ?? 2_000);
    await this.mcp.close();
    await this.report?.close();
    await this.served.close();
    this.grpc?.close();
    try {
      await this.parts.enforcer.close();
    } finally {
      await this.app.close();
    }
  }
}

/** The upstreams whose calls another proxy carries out. */
function decided({ all }: ServedUpstreams): Upstream[] {
  return all.filter(({ kind }) => kind === 'ext-authz');
}

function routeTo(served: ServedUpstreams, kind: Upstream['kind'], name: string): Route | undefined {
  const route = served.find(name);
  return route?.upstream.kind === kind ? route : undefined;
}
