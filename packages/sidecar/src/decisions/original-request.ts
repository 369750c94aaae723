import { ProblemError } from '@sever/protocol';

/** A request that somebody else's proxy holds back until it is decided. */
export interface OriginalRequest {
  readonly method: string;
  /** Path and query, as the client sent them. */
  readonly target: string;
  /** By name in lower case; each time a header stood there. */
  readonly headers: Readonly<Record<string, string[] | undefined>>;
}

/** How a proxy tells what it was asked for. */
export type Telling = 'envoy' | 'nginx' | 'traefik';

/** The proxies that say it in headers of their own, which they must set on every request; see docs/decisions.md. */
const TOLD_IN: Readonly<Record<Exclude<Telling, 'envoy'>, readonly [method: string, uri: string]>> =
  {
    nginx: ['x-original-method', 'x-original-uri'],
    traefik: ['x-forwarded-method', 'x-forwarded-uri'],
  };

/**
 * What a proxy's question over HTTP is about.
 *
 * Which way of telling counts is fixed by the address that the proxy was configured with. Were it guessed from what is
 * there, a client could send the headers of the other way itself.
 *
 * @param asked the request of the proxy; `rest` what follows `/ext-authz/<telling>/<upstream>` in its target
 * @throws ProblemError `bad_request`
 */
export function originalRequest(
  telling: Telling,
  asked: Pick<OriginalRequest, 'method' | 'headers'>,
  rest: string,
): OriginalRequest {
  const { headers } = asked;
  if (telling === 'envoy') return { method: asked.method, target: rest, headers };
  if (rest !== '') throw new ProblemError('bad_request', 'Nothing follows the upstream here');
  const [method, target] = TOLD_IN[telling].map((name) => one(headers, name));
  return { method: method ?? '', target: target ?? '', headers };
}

function one(headers: OriginalRequest['headers'], name: string): string {
  const values = headers[name] ?? [];
  const [value] = values;
  if (values.length !== 1 || value === undefined || value === '') {
    throw new ProblemError('bad_request', `The proxy must set ${name} itself, exactly once`);
  }
  return value;
}
