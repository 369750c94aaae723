import type { Dispatcher } from 'undici';
import { withCredential } from '../relay/headers';
import type { HoldGate } from '../relay/hold-gate';
import { bytesOfBody, sendUpstream } from '../relay/upstream-request';
import type { UrlUpstream } from '../sidecar-file';

export interface ServerRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Buffer | undefined;
  readonly gate: HoldGate;
  /** Its abort ends the request at once, whatever the server thinks of it. */
  readonly signal: AbortSignal;
}

/** A server that speaks Streamable HTTP, wherever it runs. */
export interface McpServer {
  /** @throws ProblemError `upstream_unreachable`; the signal's reason */
  send(request: ServerRequest): Promise<Dispatcher.ResponseData>;
  close(): Promise<void>;
}

/** One behind a url. */
export class HttpMcpServer implements McpServer {
  constructor(
    private readonly upstream: UrlUpstream,
    private readonly dispatcher: Dispatcher,
  ) {}

  async send({ method, headers, body, gate, signal }: ServerRequest) {
    const { upstream, dispatcher } = this;
    const sized = { ...headers, ...(body && { 'content-length': String(body.length) }) };
    return await sendUpstream({
      ...{ upstream, url: upstream.url, method, gate, signal, dispatcher },
      headers: withCredential(sized, upstream),
      body: body && bytesOfBody(body, gate, signal),
    });
  }

  close(): Promise<void> {
    return Promise.resolve(); // its connections are the sidecar's
  }
}
