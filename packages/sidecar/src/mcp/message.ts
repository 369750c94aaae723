import {
  CallToolRequestParamsSchema,
  JSONRPCMessageSchema,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js';
import { calledBy, ProblemError, type Called } from '@sever/protocol';
import { parseStrictJson } from '../json/strict-json';

/** What the decision needs to know of one JSON-RPC message. */
export interface Message {
  /** Present for requests alone: the id that an error in reply must carry. */
  readonly id: RequestId | undefined;
  /** Absent in a reply to the server. */
  readonly method: string | undefined;
  /** What it takes authority over, request or notification alike; nothing: a living token is enough. */
  readonly called: readonly Called[];
  /** What the header `Mcp-Name` repeats. */
  readonly name: string | undefined;
  /** The tasks that it is about. */
  readonly taskIds: readonly string[];
  /** It asks that its work go on as a task. */
  readonly wantsTask: boolean;
  /** The revision of the protocol that the message itself names, as those from 2026-07-28 on do. */
  readonly revision: string | undefined;
}

const REVISION_KEY = 'io.modelcontextprotocol/protocolVersion';

/**
 * Reads one message, refusing what a tool server could take for something else than what is decided upon here:
 * batches, keys named twice, bytes that are no UTF-8, spellings of a key that a case-insensitive parser would accept.
 *
 * @throws ProblemError `bad_request`
 */
export function readMessage(body: Uint8Array): Message {
  const json = parseStrictJson(body);
  if (Array.isArray(json)) throw bad('A batch is not accepted; send one message per request');
  const message = JSONRPCMessageSchema.safeParse(json);
  if (!message.success) throw bad('The body is not a JSON-RPC 2.0 message');
  const { data } = message;
  if (!('method' in data)) return { ...NOTHING, id: undefined, method: undefined };
  const { method, params } = data;
  const about = calledBy(method, params);
  if (method === 'tools/call' && !CallToolRequestParamsSchema.safeParse(params).success) {
    throw bad('The params of tools/call are not what the protocol says');
  }
  return {
    ...NOTHING,
    id: 'id' in data ? data.id : undefined,
    method,
    wantsTask: params?.['task'] !== undefined,
    revision: revisionOf(params),
    ...about,
  };
}

/** The id in a body that is refused anyway, so that the error finds its request. */
export function idIn(body: Uint8Array): RequestId | undefined {
  try {
    const message = JSONRPCMessageSchema.safeParse(parseStrictJson(body));
    if (!message.success || !('method' in message.data)) return undefined;
    return 'id' in message.data ? message.data.id : undefined;
  } catch {
    return undefined; // an error without an id is what the protocol asks for then
  }
}

const NOTHING = {
  called: [],
  name: undefined,
  taskIds: [],
  wantsTask: false,
  revision: undefined,
} as const;

function bad(detail: string): ProblemError {
  return new ProblemError('bad_request', detail);
}

function revisionOf(params: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const meta = params?.['_meta'];
  const revision =
    typeof meta === 'object' && meta !== null
      ? (meta as Record<string, unknown>)[REVISION_KEY]
      : undefined;
  if (revision === undefined || typeof revision === 'string') return revision;
  throw bad(`${REVISION_KEY} is a text`);
}
