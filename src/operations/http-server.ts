import helmet from '@fastify/helmet';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { ProblemError } from '@sever/protocol';
import type { FastifyRequest } from 'fastify';
import { Metrics } from './metrics';
import { parseJson } from './parse-json';

const BODY_LIMIT = 64 * 1_024;
/** In an incident nobody should lose a kill to a missing header. */
const READS_ANY_CONTENT_TYPE =
  /^\/v1\/(?:kills(?:\/|\?|$)|agents\/[^/?]+\/(?:kill|suspend)(?:\?|$))/;

export function createAdapter(): FastifyAdapter {
  return new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    requestTimeout: 60_000,
    connectionTimeout: 60_000,
    routerOptions: { maxParamLength: 512 },
    forceCloseConnections: true,
  } as never);
}

/** Body parsing and headers, before any route. */
export async function prepareServer(app: NestFastifyApplication): Promise<void> {
  const server = app.getHttpAdapter().getInstance();
  server.removeAllContentTypeParsers();
  const parse = (_: FastifyRequest, body: string): unknown =>
    body === '' ? undefined : parseJson(body);
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    settle(() => parse(request, body as string), done);
  });
  server.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    settle(() => {
      if (body !== '' && !READS_ANY_CONTENT_TYPE.test(request.url))
        throw new ProblemError('unsupported_media_type', 'Send the body as application/json.');
      return parse(request, body as string);
    }, done);
  });
  const metrics = app.get(Metrics);
  server.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.requests.observe(
      { method: request.method, route, status: reply.statusCode },
      reply.elapsedTime / 1_000,
    );
    done();
  });
  await app.register(helmet, {
    contentSecurityPolicy: {
      directives: {
        defaultSrc: ["'self'"],
        connectSrc: ["'self'", 'ws:', 'wss:'],
        imgSrc: ["'self'", 'data:'],
        // Swagger UI writes style attributes.
        styleSrc: ["'self'", "'unsafe-inline'"],
        scriptSrc: ["'self'"],
        upgradeInsecureRequests: null,
      },
    },
  });
}

function settle(work: () => unknown, done: (error: Error | null, body?: unknown) => void): void {
  try {
    done(null, work());
  } catch (error) {
    done(error as Error);
  }
}
