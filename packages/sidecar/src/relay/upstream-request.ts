import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { ProblemError } from '@sever/protocol';
import type { UrlUpstream } from '../sidecar-file';
import { mediaType } from './headers';
import type { HoldGate } from './hold-gate';

/** A body up to this size goes out in one write; a longer one in pieces, so that a hold can stop it half-way. */
const PIECE_BYTES = 64 * 1_024;

export interface UpstreamRequest {
  readonly upstream: UrlUpstream;
  /** The address itself. */
  readonly url: string;
  /** Path and query to ask for at its origin, sent byte for byte; absent: those of `url`. */
  readonly path?: string | undefined;
  readonly method: Dispatcher.HttpMethod;
  readonly headers: Record<string, string | string[]>;
  readonly body: Buffer | Readable | undefined;
  readonly gate: HoldGate;
  /** Its abort destroys the upstream's socket before it returns. */
  readonly signal: AbortSignal;
  readonly dispatcher: Dispatcher;
  /** What becomes of a redirect; absent: it is a fault of the upstream. */
  readonly redirects?: 'pass' | undefined;
}

/**
 * Sends the request and returns with the response's headers; by default without a limit of time, since a tool may run
 * for hours.
 *
 * @throws ProblemError `upstream_unreachable`; the signal's reason.
 */
export async function sendUpstream(to: UpstreamRequest): Promise<Dispatcher.ResponseData> {
  const { upstream, method, headers, body, gate, signal, dispatcher } = to;
  const { origin, pathname, search } = new URL(to.url);
  await gate.pass(signal);
  const request = dispatcher.request({
    origin,
    path: to.path ?? `${pathname}${search}`,
    method,
    signal,
    headersTimeout: upstream.timeouts?.headersMs ?? 0,
    bodyTimeout: upstream.timeouts?.idleMs ?? 0,
    headers,
    body: body ?? null,
  });
  const response = await request.catch((cause: unknown) => {
    signal.throwIfAborted();
    throw unreachable(upstream, 'cannot be reached', cause);
  });
  const fault = faultOf(response, to.redirects);
  if (fault === undefined) return response;
  response.body.on('error', () => undefined).destroy();
  throw unreachable(upstream, fault);
}

/** The bytes of the response, with a broken upstream told apart from everything else that can end the relay. */
export async function* bytesOf(
  response: Dispatcher.ResponseData,
  upstream: UrlUpstream,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response.body) yield chunk as Buffer;
  } catch (cause) {
    signal.throwIfAborted();
    throw unreachable(upstream, 'broke off', cause);
  }
}

/**
 * A redirect would take the agent, and its token, around the sidecar. A packed event stream cannot be handed on event
 * by event.
 */
function faultOf(
  { statusCode, headers }: Dispatcher.ResponseData,
  redirects: UpstreamRequest['redirects'],
): string | undefined {
  if (redirects === undefined && statusCode >= 300 && statusCode < 400) {
    return 'redirects; give its final address as url';
  }
  const packed = (headers['content-encoding'] ?? 'identity') !== 'identity';
  if (packed && mediaType(headers['content-type']) === 'text/event-stream') {
    return 'compresses its event stream though it was asked not to';
  }
  return undefined;
}

function unreachable(upstream: UrlUpstream, what: string, cause?: unknown): ProblemError {
  const detail = `${upstream.kind === 'mcp' ? 'The tool server' : 'The upstream'} ${upstream.name} ${what}`;
  return new ProblemError('upstream_unreachable', detail, {}, cause === undefined ? {} : { cause });
}

/** A body that was read whole, ready to be sent. */
export function bytesOfBody(body: Buffer, gate: HoldGate, signal: AbortSignal): Buffer | Readable {
  if (body.length <= PIECE_BYTES) return body;
  return Readable.from(pieces(body, gate, signal), { objectMode: false, highWaterMark: 1 });
}

async function* pieces(body: Buffer, gate: HoldGate, signal: AbortSignal): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    await gate.pass(signal);
    yield body.subarray(at, at + PIECE_BYTES);
  }
}
