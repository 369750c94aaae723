import { inTurns } from '../measure/in-turns';
import { summarize } from '../measure/statistics';
import type { Figure, Goal, Result } from '../report/result';
import { HttpRoad } from '../stage/api';
import { Child } from '../stage/processes';
import { SCOPES, withSidecar } from './sidecar-stage';

export interface LatencyOptions {
  readonly rounds: number;
  /** Requests of one step of a round, one after the other on one connection. */
  readonly batch: number;
  /** Rounds before any is counted. */
  readonly warmUp: number;
  readonly say: (line: string) => void;
}

const HELLO = { method: 'GET', path: '/hello' } as const;
const TOOL = {
  method: 'POST',
  path: '/mcp',
  body: {
    ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
    params: { name: 'echo', arguments: { message: 'how long does it take?' } },
  },
  headers: { accept: 'application/json, text/event-stream' },
} as const;

type Asked = typeof HELLO | typeof TOOL;

/** What a sidecar adds to a request, beside a proxy of the same libraries that decides nothing (G11). */
export async function sidecarLatency(options: LatencyOptions): Promise<Result[]> {
  options.say('sidecar-latency: a sidecar and a bare proxy before the same upstream');
  return await withSidecar(1_000, async ({ stage, upstream, sidecar, opened }) => {
    const bare = opened.stop(Child.start('bench/sidecar/bare-proxy-process.ts'));
    const { url } = await bare.ask<{ url: string }>('listen', { upstream: upstream.url });
    const { token } = await stage.api.spawnRoot('is timed', SCOPES);
    const roads = {
      direct: new HttpRoad(upstream.url, 1),
      bare: new HttpRoad(url, 1),
      sidecar: new HttpRoad(sidecar.url, 1),
    };
    opened.close(async () => Object.values(roads).forEach((road) => road.close()));
    const series: Series = {
      direct: { http: [], mcp: [] },
      bare: { http: [], mcp: [] },
      sidecar: { http: [], mcp: [] },
    };
    let counts = false;
    const batch = async (by: keyof Series, kind: Kind): Promise<void> => {
      const asked: Asked = kind === 'http' ? HELLO : TOOL;
      const headers = {
        ...('headers' in asked && asked.headers),
        authorization: `Bearer ${token}`,
      };
      const path = by === 'sidecar' ? SERVED[kind] : asked.path;
      for (let sent = 0; sent < options.batch; sent++) {
        const body = 'body' in asked ? asked.body : undefined;
        const reply = await roads[by].exchange(asked.method, path, body, headers);
        if (counts) series[by][kind].push(reply.answeredAt - reply.sentAt);
      }
    };
    const steps = (['http', 'mcp'] as const).flatMap((kind) =>
      (['direct', 'bare', 'sidecar'] as const).map((by) => () => batch(by, kind)),
    );
    await inTurns(options.warmUp, steps);
    counts = true;
    await inTurns(options.rounds, steps);
    return [report(series, options, stage.postgres)];
  });
}

type Kind = 'http' | 'mcp';
type Series = Readonly<Record<'direct' | 'bare' | 'sidecar', Record<Kind, number[]>>>;

const SERVED: Readonly<Record<Kind, string>> = { http: '/plain/hello', mcp: '/bench' };

function report(series: Series, { rounds, batch }: LatencyOptions, postgres: string): Result {
  const figures = (['http', 'mcp'] as const).flatMap((kind): Figure[] => {
    const what = kind === 'http' ? 'HTTP request' : 'MCP tool call';
    const of = (role: Figure['role'], how: string, values: readonly number[]): Figure => ({
      ...{ what: `${what}, ${how}`, role, unit: 'ms' },
      summary: summarize(values),
    });
    return [
      of('floor', 'straight to the upstream', series.direct[kind]),
      of('floor', 'through a bare proxy', series.bare[kind]),
      of('measured', 'through the sidecar', series.sidecar[kind]),
    ];
  });
  return {
    benchmark: 'sidecar-latency',
    title: 'one request through a sidecar',
    parameters: { rounds, batch, postgres },
    figures,
    goals: [...goals('HTTP', series, 'http'), ...goals('MCP', series, 'mcp')],
    notes: [
      'One request at a time on a connection that is kept; client, proxies and upstream each in a process of its own.',
      'The bare proxy is node:http before undici, as the sidecar is, and reads nothing of what it passes on.',
    ],
    evidence: {
      http_requests: series.sidecar.http.length,
      mcp_calls: series.sidecar.mcp.length,
    },
  };
}

function goals(what: string, { bare, sidecar }: Series, kind: Kind): Goal[] {
  const [floor, measured] = [summarize(bare[kind]), summarize(sidecar[kind])];
  const goal = { id: 'G11', bound: 1.15, must: 'at most' } as const;
  return [
    { ...goal, what: `${what}: sidecar ÷ bare proxy, p50`, value: measured.median / floor.median },
    { ...goal, what: `${what}: sidecar ÷ bare proxy, p99`, value: measured.p99 / floor.p99 },
  ];
}
