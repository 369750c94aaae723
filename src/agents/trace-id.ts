const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;

/** `trace-id` of a `traceparent` header (W3C Trace Context, section 3.2); `null` for a bad one, which the standard ignores. */
export function traceIdOf(traceparent: string | undefined): string | null {
  return TRACEPARENT.exec(traceparent ?? '')?.[1] ?? null;
}
