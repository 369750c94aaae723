import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** The trace that a request belongs to (W3C Trace Context). */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  /** The header as the upstream gets it. */
  readonly traceparent: string;
  /** It came from the caller, and so did any `tracestate`. */
  readonly isGiven: boolean;
}

const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}$/;
const known = new WeakMap<object, TraceContext>();

/**
 * The trace of a request, the same each time it is asked for. A valid `traceparent` is kept as it came; without one, or
 * with several, a new trace begins here, which nobody has chosen to sample.
 */
export function traceOf(request: Pick<IncomingMessage, 'headersDistinct'>): TraceContext {
  let trace = known.get(request);
  if (trace === undefined) {
    trace = givenTrace(request.headersDistinct) ?? newTrace();
    known.set(request, trace);
  }
  return trace;
}

/** The trace that the headers name; nothing is made up. */
export function givenTrace(
  headers: Readonly<Record<string, string[] | undefined>>,
): TraceContext | undefined {
  const given = headers['traceparent'] ?? [];
  const [traceparent = ''] = given;
  const [, traceId, spanId] = given.length === 1 ? (TRACEPARENT.exec(traceparent) ?? []) : [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return { traceId, spanId, traceparent, isGiven: true };
}

function newTrace(): TraceContext {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-00`, isGiven: false };
}
