import { ProblemBody } from '@sever/protocol';
import {
  ConnectionError,
  ProblemResponseError,
  UnexpectedReplyError,
  type ReceivedProblem,
} from './errors';
import { complaintsOf, type Schema } from './schema';

/** Codes of failures that happen before a byte of the request leaves. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_HAS_EXPIRED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

/** Query parameters; `undefined` ones are left out. */
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Query | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the answer must be complete; default 30,000. */
  readonly timeoutMs?: number | undefined;
}

export interface HttpReply {
  readonly status: number;
  readonly body: unknown;
}

/** Requests to one control plane under one key. */
export class HttpConnection {
  private readonly base: URL;
  private skewMs = 0;

  constructor(
    url: string,
    private readonly key: string,
    private readonly fetch: typeof globalThis.fetch,
    private readonly now: () => number,
  ) {
    this.base = new URL(url.endsWith('/') ? url : `${url}/`);
  }

  /** The server's wall clock as of its last answer, ± 1 s; this machine's own before the first. */
  serverNow(): number {
    return this.now() + this.skewMs;
  }

  /**
   * @returns the validated body of a 2xx answer
   * @throws {@link ProblemResponseError}, {@link ConnectionError}, {@link UnexpectedReplyError}; the signal's own
   *   reason when it was aborted
   */
  async call<T>(schema: Schema<T>, request: HttpRequest): Promise<T> {
    const reply = await this.send(request);
    const parsed = schema.safeParse(reply.body);
    if (!parsed.success) {
      throw new UnexpectedReplyError(
        `${request.method} /${request.path} answered ${reply.status} with a body this version cannot read ` +
          `(${complaintsOf(parsed.error)}). Use the CLI of the server's version.`,
        { cause: parsed.error },
      );
    }
    return parsed.data;
  }

  /** As {@link call}, without a schema: any 2xx. */
  async send(request: HttpRequest): Promise<HttpReply> {
    const { response, text } = await this.exchange(request);
    const body = parseJson(text);
    if (response.status >= 200 && response.status < 300) {
      return { status: response.status, body };
    }
    throw new ProblemResponseError(problemOf(response, body), retryAfterOf(response));
  }

  private async exchange(request: HttpRequest): Promise<{ response: Response; text: string }> {
    const url = new URL(request.path, this.base);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const timeout = AbortSignal.timeout(request.timeoutMs ?? 30_000);
    try {
      const response = await this.fetch(url, {
        method: request.method,
        // A redirect would turn a POST into a GET; the operator must name the right URL instead.
        redirect: 'manual',
        headers: {
          accept: 'application/json, application/problem+json',
          authorization: `Bearer ${this.key}`,
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...request.headers,
        },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        signal: request.signal ? AbortSignal.any([request.signal, timeout]) : timeout,
      });
      const serverTime = Date.parse(response.headers.get('date') ?? '');
      if (!Number.isNaN(serverTime)) this.skewMs = serverTime - this.now();
      return { response, text: await response.text() };
    } catch (error) {
      request.signal?.throwIfAborted();
      if (timeout.aborted) {
        throw new ConnectionError(`no answer from ${this.base.origin} in time`, true, {
          cause: error,
        });
      }
      const code = codeOf(error);
      throw new ConnectionError(
        NOT_SENT.has(code)
          ? `cannot connect to ${this.base.origin} (${code})`
          : `the connection to ${this.base.origin} broke (${code})`,
        !NOT_SENT.has(code),
        { cause: error },
      );
    }
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The first code on the way down to the cause; `fetch` wraps the socket's error. */
function codeOf(error: unknown): string {
  // Told by its members: an error of another realm is no instance of this one's Error.
  for (let cause = error; typeof cause === 'object' && cause !== null;) {
    const { code, cause: next } = cause as { code?: unknown; cause?: unknown };
    if (typeof code === 'string') return code;
    cause = next;
  }
  return error instanceof Error ? error.name : 'unknown error';
}

function retryAfterOf(response: Response): number | null {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : null;
}

function problemOf(response: Response, body: unknown): ReceivedProblem {
  const parsed = ProblemBody.safeParse(body);
  if (parsed.success) return parsed.data;
  const location = response.headers.get('location');
  return {
    type: 'about:blank',
    title: response.statusText || 'unexpected answer',
    status: response.status,
    code: `http_${response.status}`,
    detail: location
      ? `The address redirects to ${location}; give the control plane's own URL (--url or SEVER_URL).`
      : 'The answer is not one of a Sever control plane; check --url or SEVER_URL, and any proxy in between.',
  };
}
