import { Catch, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { RefusedError, refusalOf } from '@sever/enforcement';
import { rawHttp } from './raw-http';

/** Refusals leave as `application/problem+json`, as a sidecar's do. */
@Catch(RefusedError)
export class RefusalFilter implements ExceptionFilter<RefusedError> {
  constructor(@Inject(HttpAdapterHost) private readonly host: HttpAdapterHost) {}

  catch(refused: RefusedError, host: ArgumentsHost): void {
    const { response: raw } = rawHttp(host);
    if (raw.headersSent || raw.destroyed) {
      raw.destroy();
      return;
    }
    const { httpAdapter } = this.host;
    const { status, headers, problem } = refusalOf(refused.denied);
    const response = host.switchToHttp().getResponse<unknown>();
    for (const [name, value] of Object.entries(headers))
      httpAdapter.setHeader(response, name, value);
    httpAdapter.setHeader(response, 'content-type', 'application/problem+json');
    httpAdapter.reply(response, JSON.stringify(problem), status);
  }
}
