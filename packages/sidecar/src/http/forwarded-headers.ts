import type { IncomingMessage } from 'node:http';
import { toUpstream, withCredential } from '../relay/headers';
import { carries, withheldFrom } from '../relay/withheld';
import type { Upstream } from '../sidecar-file';
import { TOKEN_HEADERS } from '../sidecar-file';

/** With these some servers take another method, path, host or sender for true than the request line and the socket say. */
const OVERRIDES = new Set([
  ...['x-http-method-override', 'x-http-method', 'x-method-override'],
  ...['x-original-url', 'x-original-uri', 'x-rewrite-url', 'x-original-method', 'x-original-host'],
  ...['forwarded', 'via', 'x-host', 'x-real-ip', 'x-client-ip', 'x-cluster-client-ip'],
  ...['true-client-ip', 'cf-connecting-ip', 'fastly-client-ip'],
]);

/** Spelled with `_` they pass a proxy that looks for `-`, and are the same to a CGI-like server behind it. */
const FRAMING = new Set([
  ...['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade', 'te', 'trailer'],
  ...['keep-alive', 'proxy-authorization', 'proxy-connection', 'expect', ...TOKEN_HEADERS],
]);

/**
 * Request headers as the upstream gets them: no token of the agent, nothing that overrides what was decided about, and
 * the configured credential in place of any that the agent sent.
 */
export function forwardedHeaders(
  request: IncomingMessage,
  token: string,
  upstream: Upstream,
): Record<string, string | string[]> {
  const withheld = withheldFrom(upstream, token);
  const headers = toUpstream(request, withheld);
  for (const [name, values] of Object.entries(headers)) {
    const plain = name.replaceAll('_', '-');
    const overrides = OVERRIDES.has(plain) || plain.startsWith('x-forwarded-');
    const disguised = plain !== name && FRAMING.has(plain);
    const holds = [values].flat().some((value) => carries(value, withheld));
    if (overrides || disguised || holds) delete headers[name];
  }
  return withCredential(headers, upstream);
}
