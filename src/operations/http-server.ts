import helmet from '@fastify/helmet';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { JWS_CONTENT_TYPE, ProblemError } from '@sever/protocol';
import { answerUnreadable, answerUnroutable } from './framework-errors';
import { Metrics } from './metrics';
import { parseJson } from './parse-json';

const BODY_LIMIT = 64 * 1_024;
const JWS_LIMIT = 512 * 1_024;
/** Routes that stop something: in an incident nobody should lose an order to a header. */
const READS_ANY_CONTENT_TYPE =
  /^(?:POST \/v1\/kills|POST \/v1\/agents\/:id\/(?:kill|suspend)|DELETE \/v1\/enforcement-points\/:id)$/;
const CHARSET = /;\s*charset\s*=\s*"?([^\s";]*)/gi;

export function createAdapter(): FastifyAdapter {
  return new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    requestTimeout: 60_000,
    connectionTimeout: 60_000,
    routerOptions: { maxParamLength: 512 },
    forceCloseConnections: true,
    frameworkErrors: answerUnroutable,
    clientErrorHandler: answerUnreadable,
  } as never);
}

/** Body parsing and headers, before any route. */
export async function prepareServer(app: NestFastifyApplication): Promise<void> {
  const server = app.getHttpAdapter().getInstance();
  server.removeAllContentTypeParsers();
  server.addHook('onRequest', (request, _, done) => {
    if (READS_ANY_CONTENT_TYPE.test(`${request.method} ${request.routeOptions.url}`))
      request.headers['content-type'] = 'application/json';
    done();
  });
  server.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    settle(() => {
      if (body !== '' && !isUtf8(request.headers['content-type'] ?? '')) throw unsupported();
      return body === '' ? undefined : parseJson(body as string);
    }, done);
  });
  // Signed messages; the largest is a receipt.
  server.addContentTypeParser(
    JWS_CONTENT_TYPE,
    { parseAs: 'string', bodyLimit: JWS_LIMIT },
    (request, body, done) => {
      settle(() => {
        if (!request.routeOptions.url?.startsWith('/v1/stream/')) throw unsupported();
        return body;
      }, done);
    },
  );
  server.addContentTypeParser('*', { parseAs: 'string' }, (_, body, done) => {
    settle(() => {
      if (body !== '') throw unsupported();
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

function isUtf8(contentType: string): boolean {
  return [...contentType.matchAll(CHARSET)].every(([, name = '']) => /^utf-?8$/i.test(name));
}

function unsupported(): ProblemError {
  return new ProblemError('unsupported_media_type', 'Send the body as application/json, in UTF-8.');
}

function settle(work: () => unknown, done: (error: Error | null, body?: unknown) => void): void {
  try {
    done(null, work());
  } catch (error) {
    done(error as Error);
  }
}
