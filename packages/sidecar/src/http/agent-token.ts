import type { IncomingMessage } from 'node:http';
import { bearerToken } from '@sever/enforcement';
import type { TokenHeader } from '../sidecar-file';

const TOKEN = /^[A-Za-z0-9\-._~+/]{1,16384}=*$/;

/**
 * The agent's token, from the headers where the upstream's config lets it stand. Two that differ are none: the parties
 * on the way could each pick a different one.
 */
export function agentToken(
  request: Pick<IncomingMessage, 'headersDistinct'>,
  from: readonly TokenHeader[],
): string | undefined {
  const given = from.flatMap((name): (string | undefined)[] => {
    const values = request.headersDistinct[name];
    if (values === undefined) return [];
    if (name === 'authorization') return [bearerToken(request)];
    const [value = '', ...more] = values;
    return [more.length === 0 && TOKEN.test(value) ? value : undefined];
  });
  return new Set(given).size === 1 ? given[0] : undefined;
}
