import {
  MAX_CALL_ARGUMENTS,
  MAX_CALL_PATH,
  MAX_USER_AGENT,
  newId,
  type CallRecord,
} from '@sever/protocol';
import type { SeenCall } from './seen-call';

/** What no database takes in a text: NUL, and half of a surrogate pair. */
// eslint-disable-next-line no-control-regex -- the one character that it is about
const UNSTORABLE = /[\u0000\p{Cs}]/gu;
const MAX_TOOL = 320;
const MAX_UPSTREAM = 64;
const MAX_ADDRESS = 64;

/** The record of a call. Whatever an agent wrote into names and paths is cut to what a record may hold. */
export function recordOf(call: SeenCall): CallRecord {
  const { caller } = call;
  const { serviceId, chain, taskIds } = caller;
  const isKnown = chain.length > 0;
  return {
    id: newId('call'),
    started_at: Math.max(0, Math.round(call.startedAt)),
    duration_ms: Math.max(0, Math.round(call.durationMs * 1_000) / 1_000),
    chain: [...chain],
    ...(isKnown
      ? { initiator: caller.initiatorId, credential: caller.credentialId }
      : {
          ...optional('remote_address', text(call.remoteAddress, MAX_ADDRESS)),
          ...optional('user_agent', text(call.userAgent, MAX_USER_AGENT)),
        }),
    ...(serviceId !== undefined && { service: serviceId }),
    tasks: [...taskIds],
    ...optional('upstream', text(call.upstream, MAX_UPSTREAM)),
    ...optional('tool', text(call.tool, MAX_TOOL)),
    ...optional('method', call.method),
    ...optional('path', text(call.path?.split('?', 1)[0], MAX_CALL_PATH)),
    decision: call.decision,
    ...optional('code', call.code),
    stale: call.stale,
    outcome: call.outcome,
    ...optional('kill_id', call.killId),
    bytes_in: call.bytesIn ?? 0,
    bytes_out: call.bytesOut ?? 0,
    ...optional('status', call.status),
    ...optional('trace_id', call.traceId),
    ...optional('span_id', call.spanId),
    ...optional('arguments_hash', call.argumentsHash),
    ...optional('arguments', shortEnough(call.arguments)),
  };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [k in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [k in K]: V });
}

/** Cut on a whole character, so that the cut leaves no half of a pair. */
function text(value: string | undefined, most: number): string | undefined {
  if (value === undefined || value === '') return undefined;
  return value.slice(0, most).replace(UNSTORABLE, '\ufffd');
}

/** Half of a JSON text is none. */
function shortEnough(json: string | undefined): string | undefined {
  return json !== undefined && json.length <= MAX_CALL_ARGUMENTS ? json : undefined;
}
