import {
  CallToolRequestParamsSchema,
  JSONRPCMessageSchema,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js';
import { ProblemError } from '@sever/protocol';
import { parseStrictJson } from '../json/strict-json';

/** What the decision needs to know of one JSON-RPC message. */
export interface Message {
  /** Present for requests alone: the id that an error in reply must carry. */
  readonly id: RequestId | undefined;
  /** Absent in a reply to the server. */
  readonly method: string | undefined;
  /** The tool that a `tools/call` names, request or notification alike. */
  readonly tool: string | undefined;
}

/** The longest tool name; with the upstream's it stays within what a scope can say. */
const MAX_TOOL_NAME = 200;

/**
 * Reads one message, refusing what a tool server could take for something else than what is decided upon here:
 * batches, keys named twice, bytes that are no UTF-8, spellings of `name` that a case-insensitive parser would accept.
 *
 * @throws ProblemError `bad_request`
 */
export function readMessage(body: Uint8Array): Message {
  const json = parseStrictJson(body);
  if (Array.isArray(json)) throw bad('A batch is not accepted; send one message per request');
  const message = JSONRPCMessageSchema.safeParse(json);
  if (!message.success) throw bad('The body is not a JSON-RPC 2.0 message');
  const { data } = message;
  if (!('method' in data)) return { id: undefined, method: undefined, tool: undefined };
  const tool = data.method === 'tools/call' ? toolOf(data.params) : undefined;
  return { id: 'id' in data ? data.id : undefined, method: data.method, tool };
}

/** The id in a body that is refused anyway, so that the error finds its request. */
export function idIn(body: Uint8Array): RequestId | undefined {
  try {
    return readMessage(body).id;
  } catch {
    return undefined; // an error without an id is what the protocol asks for then
  }
}

function toolOf(params: Record<string, unknown> | undefined): string {
  const call = CallToolRequestParamsSchema.safeParse(params);
  const spellings = Object.keys(params ?? {}).filter((key) => key.toLowerCase() === 'name');
  if (!call.success || spellings.length !== 1) throw bad('tools/call must name one tool');
  const { name } = call.data;
  if (name === '' || name.length > MAX_TOOL_NAME) {
    throw bad(`A tool's name has 1 to ${MAX_TOOL_NAME} characters`);
  }
  return name;
}

function bad(detail: string): ProblemError {
  return new ProblemError('bad_request', detail);
}
