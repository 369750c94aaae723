import type { IncomingMessage } from 'node:http';
import { traceOf } from '../calls/trace-context';
import type { Upstream } from '../sidecar-file';
import { carries } from './withheld';

/** RFC 9110 §7.6.1, and what belongs to one connection by custom. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** What the sidecar says itself on the way to the upstream. */
const OWN = ['host', 'content-length', 'accept-encoding', 'expect'];

type Values = string | string[];

/**
 * Request headers for the upstream. The agent's token stays here wherever the agent put it. Event streams must arrive
 * unpacked, since they are handed on event by event: hence `identity`.
 *
 * @param withheld what must not go on, as `withheldFrom` says
 */
export function toUpstream(request: IncomingMessage, withheld: string): Record<string, Values> {
  const forwarded = pick(request.headersDistinct, [
    ...OWN,
    ...(withheld === '' ? [] : ['authorization']),
  ]);
  for (const [name, values] of Object.entries(forwarded)) {
    if ([values].flat().some((value) => carries(value, withheld))) delete forwarded[name];
  }
  const { traceparent, isGiven } = traceOf(request);
  // It continues a trace that is not taken up, so it would say nothing that is true.
  if (!isGiven) delete forwarded['tracestate'];
  return { ...forwarded, traceparent, 'accept-encoding': 'identity' };
}

/** The configured credential in place of whatever stands under its name. */
export function withCredential(
  headers: Readonly<Record<string, Values>>,
  { credential }: Pick<Upstream, 'credential'>,
): Record<string, Values> {
  if (credential === undefined) return headers;
  return { ...headers, [credential.header]: credential.value };
}

/** Response headers for the agent. A stream of events is re-framed, so its length is not the upstream's to say. */
export function toAgent(
  headers: Readonly<Record<string, Values | undefined>>,
  isEventStream: boolean,
): Record<string, Values> {
  return pick(headers, isEventStream ? ['content-length'] : []);
}

/** The media type without its parameters. */
export function mediaType(header: Values | undefined): string {
  const first = Array.isArray(header) ? header[0] : header;
  return (first ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

function pick(
  headers: Readonly<Record<string, Values | undefined>>,
  without: readonly string[],
): Record<string, Values> {
  const dropped = new Set([...HOP_BY_HOP, ...without]);
  for (const value of [headers['connection'] ?? []].flat()) {
    for (const name of value.split(',')) dropped.add(name.trim().toLowerCase());
  }
  const kept: Record<string, Values> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !dropped.has(name)) {
      kept[name] = Array.isArray(value) && value.length === 1 ? (value[0] ?? '') : value;
    }
  }
  return kept;
}
