import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ArgumentsHost } from '@nestjs/common';

export interface RawHttp {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Node's own request and response, which Fastify wraps and Express extends. */
export function rawHttp(host: ArgumentsHost): RawHttp {
  if (host.getType() !== 'http')
    throw new Error('Sever guards HTTP routes; for other transports use EnforcementPoint.guard()');
  const http = host.switchToHttp();
  const request = http.getRequest<IncomingMessage & { raw?: IncomingMessage }>();
  const response = http.getResponse<ServerResponse & { raw?: ServerResponse }>();
  return { request: request.raw ?? request, response: response.raw ?? response };
}
