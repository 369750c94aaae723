import type { IncomingMessage } from 'node:http';
import type { CallContext } from '@sever/enforcement';
import { isScope, toolScope, type Problem } from '@sever/protocol';

export const METADATA_PATH = '/.well-known/oauth-protected-resource';

/** How the client has reached this sidecar, as far as it says so itself: nobody else is told. */
export function originOf(request: IncomingMessage): string | undefined {
  const { host, 'x-forwarded-proto': scheme } = request.headers;
  if (host === undefined || !/^[A-Za-z0-9.:[\]-]{1,255}$/.test(host)) return undefined;
  return `${scheme === 'https' ? 'https' : 'http'}://${host}`;
}

/**
 * What a client is told of getting a token that would do (RFC 6750 §3, RFC 9728 §5.1). Nothing for a revoked agent, which
 * a new login would not help.
 *
 * @param upstream whose metadata it may look at
 * @param asked what was refused
 */
export function challenge(
  { status, code }: Problem,
  request: IncomingMessage,
  upstream: string,
  asked: CallContext | undefined,
): Record<string, string> {
  const isScopeMissing = code === 'insufficient_scope';
  if (status !== 401 && !isScopeMissing) return {};
  const origin = originOf(request);
  const scope = asked?.scope ?? (asked?.tool === undefined ? undefined : toolScope(asked.tool));
  const fields = [
    ...(origin === undefined ? [] : [`resource_metadata="${origin}${METADATA_PATH}/${upstream}"`]),
    `error="${isScopeMissing ? 'insufficient_scope' : 'invalid_token'}"`,
    // What no scope can say in full, or would end the text that it stands in, is better not said.
    ...(isScopeMissing && scope !== undefined && isScope(scope) && !/["\\]/.test(scope)
      ? [`scope="${scope}"`]
      : []),
  ];
  return { 'www-authenticate': `Bearer ${fields.join(', ')}` };
}
