import type { ServerResponse, IncomingMessage } from 'node:http';
import { ProblemError } from '@sever/protocol';
import type { Dispatcher } from 'undici';
import { Exchange, type ExchangeParts } from '../relay/exchange';
import { HoldGate } from '../relay/hold-gate';
import type { RefusalForm } from '../relay/refusal-form';
import { sendUpstream } from '../relay/upstream-request';
import { carries, withheldFrom } from '../relay/withheld';
import type { UrlUpstream } from '../sidecar-file';
import { agentToken } from './agent-token';
import { contextOf, METHOD } from './call-context';
import { forwardedHeaders } from './forwarded-headers';
import { HTTP_REFUSAL_FORM } from './http-refusal-form';
import { baseOf, ownLocation } from './own-location';
import { readTarget, type RequestTarget } from './request-target';
import { hasBody, uploadOf } from './upload';

/** One exchange with an upstream of kind `http`: what it is about stands in its request line. */
export class HttpExchange extends Exchange {
  readonly isListening: boolean = false;

  /** @param onRead the agent waits for leave to send its body: called once it is wanted */
  constructor(
    upstream: UrlUpstream,
    request: IncomingMessage,
    response: ServerResponse,
    parts: ExchangeParts,
    private readonly onRead?: () => void,
  ) {
    super(upstream, request, response, parts);
  }

  protected form(): RefusalForm {
    return HTTP_REFUSAL_FORM;
  }

  protected override token(): string | undefined {
    return agentToken(this.request, this.upstream.tokenFrom ?? ['authorization']);
  }

  protected async relay(token: string): Promise<void> {
    const { request, upstream } = this;
    const method = this.method();
    const target = this.target(token);
    const admitted = await this.admit(token, contextOf(upstream, method, target.path));
    this.parts.metrics.decided(admitted);
    const gate = new HoldGate(admitted.call);
    const response = await sendUpstream({
      upstream,
      url: upstream.url,
      path: pathOf(upstream, target),
      method,
      headers: { ...forwardedHeaders(request, token, upstream), ...lengthOf(request) },
      body: this.body(gate),
      redirects: 'pass',
      gate,
      signal: this.signal,
      dispatcher: this.parts.dispatcher,
    });
    await this.handOn(this.redirected(response, target), gate);
  }

  protected method(): string {
    const { method = '' } = this.request;
    if (METHOD.test(method)) return method;
    throw new ProblemError('method_not_allowed', `${method} is not passed on`);
  }

  protected target(token: string): RequestTarget {
    const url = this.request.url ?? '';
    // The upstream would see it, and log it.
    if (carries(url, withheldFrom(this.upstream, token))) {
      throw new ProblemError('bad_request', 'A token has no place in a URL; send it as a header');
    }
    return readTarget(url, this.upstream.name);
  }

  private body(gate: HoldGate) {
    if (!hasBody(this.request)) return undefined;
    this.onRead?.();
    return uploadOf(this.request, gate, this.signal);
  }

  private redirected(
    response: Dispatcher.ResponseData,
    { path, query }: RequestTarget,
  ): Dispatcher.ResponseData {
    const { location } = response.headers;
    if (typeof location !== 'string') return response;
    try {
      const own = ownLocation(this.upstream, location, `${path}${query}`);
      return { ...response, headers: { ...response.headers, location: own } };
    } catch (error) {
      response.body.on('error', () => undefined).destroy();
      throw error;
    }
  }
}

/** Path and query as the upstream gets them. */
export function pathOf(upstream: UrlUpstream, { path, query }: RequestTarget): string {
  return `${baseOf(upstream).path}${path}${query}`;
}

function lengthOf(request: IncomingMessage): Record<string, string> {
  const length = request.headers['content-length'];
  return length === undefined ? {} : { 'content-length': length };
}
