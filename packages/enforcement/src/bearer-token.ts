import type { IncomingMessage } from 'node:http';

/**
 * The one bearer token of a request. Two Authorization headers, or anything beside a single token in one, are no
 * token: the parties on the way could each pick a different one.
 */
export function bearerToken(request: Pick<IncomingMessage, 'headersDistinct'>): string | undefined {
  const given = request.headersDistinct['authorization'] ?? [];
  if (given.length !== 1) return undefined;
  return /^bearer +([A-Za-z0-9\-._~+/]{1,16384}=*)$/i.exec(given[0] ?? '')?.[1];
}
