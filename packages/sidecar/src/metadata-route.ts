import { ProblemError } from '@sever/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Enforcer } from './enforcer';
import { METADATA_PATH, originOf } from './relay/challenge';
import type { ServedUpstreams } from './served-upstreams';
import type { Upstream } from './sidecar-file';

/**
 * Protected-resource metadata (RFC 9728): where a client gets a token for what is served here. One document for each
 * upstream, and one for the sidecar as a whole.
 */
export function registerMetadata(
  app: FastifyInstance,
  enforcer: Pick<Enforcer, 'state'>,
  served: Pick<ServedUpstreams, 'all'>,
): void {
  const document = (request: FastifyRequest, path: string, upstreams: readonly Upstream[]) => {
    const origin = originOf(request.raw);
    if (origin === undefined) throw new ProblemError('bad_request', 'Host must name this sidecar');
    return {
      resource: `${origin}${path}`,
      authorization_servers: [enforcer.state().issuer],
      bearer_methods_supported: ['header'],
      scopes_supported: upstreams.flatMap(scopesOf),
    };
  };
  app.get(METADATA_PATH, (request, reply) =>
    reply.header('cache-control', 'no-store').send(document(request, '', served.all)),
  );
  app.get<{ Params: { upstream: string } }>(`${METADATA_PATH}/:upstream`, (request, reply) => {
    const { upstream } = request.params;
    const found = served.all.filter(({ name }) => name === upstream);
    if (found.length === 0) throw new ProblemError('not_found', 'There is no such upstream here');
    return reply.header('cache-control', 'no-store').send(document(request, `/${upstream}`, found));
  });
}

/** The widest scope of each kind that could be asked for; narrower ones are better. */
function scopesOf({ name, kind }: Upstream): string[] {
  if (kind === 'mcp') return [`tool:${name}/*`];
  return ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((method) => `http:${method}:${name}/*`);
}
