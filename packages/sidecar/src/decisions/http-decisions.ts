import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { problem, ProblemError } from '@sever/protocol';
import type { Upstream } from '../sidecar-file';
import type { Decider, Verdict } from './decider';
import { originalRequest, type Telling } from './original-request';

const QUESTION = /^\/ext-authz\/(envoy|nginx|traefik)\/([a-z0-9-]{1,32})(?=[/?]|$)/;

export interface HttpDecisionsParts {
  readonly decider: Decider;
  /** The upstream of kind `ext-authz` of that name. */
  readonly find: (name: string) => Upstream | undefined;
}

/**
 * `/ext-authz/envoy/<upstream>/<original path>`, `/ext-authz/nginx/<upstream>` and `/ext-authz/traefik/<upstream>`: 200
 * lets the request through. They are read before any router has decoded or forgiven something in them.
 */
export class HttpDecisions {
  constructor(private readonly parts: HttpDecisionsParts) {}

  /** Answers these questions itself; everything else goes on. */
  before(behind: RequestListener): RequestListener {
    return (request, response) => {
      const url = request.url ?? '';
      if (!url.startsWith('/ext-authz/')) return behind(request, response);
      // A proxy sends bodies along when told to; nothing is decided on them.
      request.resume();
      void this.answer(request, response, url);
    };
  }

  private async answer(
    request: IncomingMessage,
    response: ServerResponse,
    url: string,
  ): Promise<void> {
    const [question = '', telling, name = ''] = QUESTION.exec(url) ?? [];
    const verdict = await this.verdict(request, telling, name, url.slice(question.length));
    send(response, verdict, telling === 'nginx');
  }

  private async verdict(
    request: IncomingMessage,
    telling: string | undefined,
    name: string,
    rest: string,
  ): Promise<Verdict> {
    const { decider, find } = this.parts;
    const upstream = find(name);
    if (telling === undefined || upstream === undefined) {
      const says =
        'Decisions are asked for at /ext-authz/envoy|nginx|traefik/<an upstream of kind ext-authz>';
      return decider.refused(problem('not_found', says));
    }
    const { method = '', headersDistinct } = request;
    try {
      const asked = { method, headers: headersDistinct };
      return await decider.decide(upstream, originalRequest(telling as Telling, asked, rest));
    } catch (error) {
      if (error instanceof ProblemError) return decider.refused(error.toProblem());
      throw error;
    }
  }
}

/**
 * nginx takes 401 and 403 from `auth_request` as a refusal, and everything else as a failure of its own, which its client
 * would get as a 500: so it is told 403, and `sever-code` says why.
 */
function send(response: ServerResponse, verdict: Verdict, forNginx: boolean): void {
  const { refusal, headers, identity } = verdict;
  if (refusal === null) {
    response.writeHead(200, { ...headers, ...identity, 'content-length': 0 }).end();
    return;
  }
  const { status, problem: of } = refusal;
  response
    .writeHead(forNginx && status !== 401 ? 403 : status, {
      ...headers,
      'content-type': 'application/problem+json',
    })
    .end(JSON.stringify(of));
}
