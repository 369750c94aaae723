import { JWS_CONTENT_TYPE, ProblemBody } from '@sever/protocol';
import type { Timers } from '../clock';

const NEWLINE = 0x0a;
/** Nothing that answers one question is larger: a page or a range is at most 256 KiB, a lease a few hundred bytes. */
const MAX_REPLY_BYTES = 2 * 1_024 * 1_024;
/** A manifest is the longest line of a snapshot. */
const MAX_LINE_BYTES = 1_024 * 1_024;

/** The control plane answered, and not with what was asked for. */
export class HttpRefusedError extends Error {
  override readonly name = 'HttpRefusedError';
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

export interface HttpRoadOptions {
  /** The control plane, such as `http://127.0.0.1:7400`. */
  readonly url: string;
  /** Bearer of every request. */
  readonly accessKey: string;
  readonly timers: Timers;
}

export interface HttpQuestion {
  /** An object travels as JSON, a text as a signed message. */
  readonly body?: object | string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Requests to the control plane's stream routes, and the bytes of their answers. */
export class HttpRoad {
  private accessKey: string;
  private readonly base: string;
  private readonly open = new Set<AbortController>();

  constructor(private readonly options: HttpRoadOptions) {
    this.accessKey = options.accessKey;
    this.base = `${options.url.replace(/\/+$/, '')}/v1/stream`;
  }

  useAccessKey(accessKey: string): void {
    this.accessKey = accessKey;
  }

  /** @throws HttpRefusedError; Error when nothing comes in time */
  async ask(path: string, question: HttpQuestion): Promise<Uint8Array> {
    return await this.within(question, async (signal) => {
      const response = await this.fetch(path, question, signal);
      const parts: Uint8Array[] = [];
      for await (const part of bodyOf(response, MAX_REPLY_BYTES)) parts.push(part);
      return Buffer.concat(parts);
    });
  }

  /** Each line as soon as it has come, without its line break. The time is that for the first byte. */
  async lines(
    path: string,
    question: HttpQuestion,
    line: (bytes: Uint8Array) => void,
  ): Promise<void> {
    await this.within(question, async (signal, cancel) => {
      const response = await this.fetch(path, question, signal);
      cancel();
      let rest: Uint8Array = new Uint8Array();
      for await (const part of bodyOf(response, Infinity)) {
        let from = 0;
        for (let end = part.indexOf(NEWLINE); end >= 0; end = part.indexOf(NEWLINE, from)) {
          line(Buffer.concat([rest, part.subarray(from, end)]));
          rest = new Uint8Array();
          from = end + 1;
        }
        rest = Buffer.concat([rest, part.subarray(from)]);
        if (rest.byteLength > MAX_LINE_BYTES) throw new Error('a line is too long');
      }
      if (rest.byteLength > 0) throw new Error('the answer broke off');
    });
  }

  close(): void {
    for (const abort of this.open) abort.abort(new Error('closed'));
  }

  private async fetch(
    path: string,
    { body }: HttpQuestion,
    signal: AbortSignal,
  ): Promise<Response> {
    const type = typeof body === 'string' ? JWS_CONTENT_TYPE : 'application/json';
    const response = await fetch(`${this.base}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${this.accessKey}`,
        ...(body !== undefined && { 'content-type': type }),
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      redirect: 'error',
      signal,
    });
    if (response.ok) return response;
    const problem = ProblemBody.safeParse(await response.json().catch(() => null));
    const detail = problem.success
      ? `${problem.data.code}: ${problem.data.detail}`
      : `HTTP ${response.status}`;
    throw new HttpRefusedError(response.status, detail);
  }

  private async within<T>(
    { timeoutMs, signal }: HttpQuestion,
    work: (signal: AbortSignal, cancel: () => void) => Promise<T>,
  ): Promise<T> {
    const abort = new AbortController();
    const stop = (): void => abort.abort(new Error('given up'));
    if (signal?.aborted) stop();
    signal?.addEventListener('abort', stop, { once: true });
    const cancel = this.options.timers.after(timeoutMs, () =>
      abort.abort(new Error(`nothing came within ${timeoutMs} ms`)),
    );
    this.open.add(abort);
    try {
      return await work(abort.signal, cancel);
    } finally {
      cancel();
      this.open.delete(abort);
      signal?.removeEventListener('abort', stop);
    }
  }
}

async function* bodyOf(response: Response, max: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += part.byteLength;
    if (bytes > max) throw new Error('the answer is too long');
    yield part;
  }
}
