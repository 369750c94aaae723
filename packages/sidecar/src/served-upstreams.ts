import { isDeepStrictEqual } from 'node:util';
import type { Dispatcher } from 'undici';
import type { ExchangeParts } from './relay/exchange';
import { hasUrl, type Upstream, type UrlUpstream } from './sidecar-file';

/** Where wrapped stdio servers seem to be; no connection is ever made to it. */
const STDIO_ADDRESS = 'http://stdio.invalid/mcp';

interface Served {
  readonly upstream: Upstream;
  /** The same, with an address in any case. */
  readonly reached: UrlUpstream;
  readonly dispatcher: Dispatcher;
}

/** An upstream, and what an exchange with it needs. */
export interface Route {
  readonly upstream: UrlUpstream;
  readonly parts: ExchangeParts;
}

/** The upstreams of this moment, each with its own connections. */
export class ServedUpstreams {
  private served = new Map<string, Served>();
  /** Of upstreams that are served no more: they end with the last call that runs over them. */
  private readonly retired = new Set<Dispatcher>();

  constructor(
    upstreams: readonly Upstream[],
    private readonly parts: Omit<ExchangeParts, 'dispatcher'>,
    private readonly connect: (upstream: Upstream) => Dispatcher,
  ) {
    this.replace(upstreams);
  }

  get all(): readonly Upstream[] {
    return [...this.served.values()].map(({ upstream }) => upstream);
  }

  find(name: string): Route | undefined {
    const served = this.served.get(name);
    if (served === undefined) return undefined;
    return { upstream: served.reached, parts: { ...this.parts, dispatcher: served.dispatcher } };
  }

  /** New calls go by these; what runs already runs on as it began. What has not changed keeps its connections. */
  replace(upstreams: readonly Upstream[]): void {
    const before = this.served;
    this.served = new Map(
      upstreams.map((upstream): [string, Served] => {
        const same = before.get(upstream.name);
        if (same !== undefined && isDeepStrictEqual(same.upstream, upstream)) {
          before.delete(upstream.name);
          return [upstream.name, same];
        }
        const reached = hasUrl(upstream) ? upstream : { ...upstream, url: STDIO_ADDRESS };
        return [upstream.name, { upstream, reached, dispatcher: this.connect(upstream) }];
      }),
    );
    for (const { dispatcher } of before.values()) this.retire(dispatcher);
  }

  /** Breaks every connection. */
  async close(): Promise<void> {
    const { retired, served } = this;
    const open = [...retired, ...[...served.values()].map(({ dispatcher }) => dispatcher)];
    await Promise.all([...new Set(open)].map((dispatcher) => dispatcher.destroy()));
  }

  private retire(dispatcher: Dispatcher): void {
    this.retired.add(dispatcher);
    void dispatcher.close().finally(() => this.retired.delete(dispatcher));
  }
}
