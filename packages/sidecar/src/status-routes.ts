import { problem, type SidecarState } from '@sever/protocol';
import type { FastifyInstance } from 'fastify';
import type { Ungoverned } from './calls/ungoverned';
import type { Enforcer } from './enforcer';
import type { Metrics } from './metrics';
import { sendProblem } from './problem-reply';
import { STOPPING } from './stopping';
import type { ServedUpstreams } from './served-upstreams';

export interface StatusParts {
  readonly enforcer: Enforcer;
  readonly metrics: Metrics;
  readonly served: Pick<ServedUpstreams, 'all'>;
  readonly ungoverned: Pick<Ungoverned, 'list'>;
  isStopping(): boolean;
}

/** `/state`, `/metrics`, `/healthz` (the process lives, whatever its lease) and `/readyz` (calls can be let through). */
export function registerStatus(app: FastifyInstance, parts: StatusParts): void {
  const { enforcer, metrics, served } = parts;
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    const { ready, darkBecause } = enforcer.state();
    if (parts.isStopping()) return sendProblem(reply, STOPPING);
    if (darkBecause !== null) {
      return sendProblem(reply, problem('unavailable', `Everything is refused: ${darkBecause}`));
    }
    if (!ready) return sendProblem(reply, problem('enforcement_stale', 'There is no valid lease'));
    return reply.send({ status: 'ready' });
  });
  app.get('/state', (): SidecarState => ({
    ...stateOf(enforcer, served),
    ungoverned: parts.ungoverned.list(),
  }));
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}

function stateOf(enforcer: Enforcer, served: StatusParts['served']): SidecarState {
  const state = enforcer.state();
  return {
    id: state.id,
    name: state.name,
    tenant: state.tenant,
    boot_id: state.bootId,
    mode: state.mode,
    ready: state.ready,
    epoch: state.epoch,
    applied: state.applied,
    lease_left_ms: state.leaseLeftMs,
    in_flight: state.inFlight,
    stale_admissions: state.staleAdmissions,
    halts: [...state.halts],
    calls: { ...state.calls, dropped: { ...state.calls.dropped } },
    upstreams: served.all.map(({ name, kind, url, command }) => ({
      ...{ name, kind },
      url: url ?? (command ? `stdio:${command.argv[0]}` : ''),
    })),
  };
}
