import {
  CallToolRequestParamsSchema,
  JSONRPCMessageSchema,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js';
import { ProblemError } from '@sever/protocol';
import { parseStrictJson } from '../json/strict-json';
import { KIND_PREFIX, type Called } from './called';
import { bad, namesIn, objectIn, textIn, type Params } from './params';
import { uriFault } from './resource-uri';

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

/** The longest name of a tool or prompt; with the upstream's it stays within what a scope can say. */
const MAX_NAME = 200;
const MAX_TASK_ID = 256;
/** As many resources as one message may name. */
const MAX_CALLED = 64;
const REVISION_KEY = 'io.modelcontextprotocol/protocolVersion';

/** Methods that say or show nothing of what others own, or whose replies are filtered. */
const LIVENESS = new Set([
  ...['initialize', 'ping', 'server/discover', 'logging/setLevel'],
  ...['tools/list', 'resources/list', 'resources/templates/list', 'prompts/list', 'tasks/list'],
]);
const ABOUT_A_TASK = new Set(['tasks/get', 'tasks/result', 'tasks/update', 'tasks/cancel']);

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
  return {
    ...NOTHING,
    id: 'id' in data ? data.id : undefined,
    method,
    wantsTask: params?.['task'] !== undefined,
    revision: revisionOf(params),
    ...about(method, params),
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

function about(method: string, params: Params): Partial<Message> {
  if (LIVENESS.has(method) || method.startsWith('notifications/')) return {};
  if (ABOUT_A_TASK.has(method)) {
    const id = taskIdOf(textIn(params, 'taskId', method));
    return { taskIds: [id], name: id };
  }
  switch (method) {
    case 'tools/call':
      return named({ kind: 'tool', name: toolOf(params) });
    case 'prompts/get':
      return named({ kind: 'prompt', name: nameOf(textIn(params, 'name', method)) });
    case 'resources/read':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      return named(resource(textIn(params, 'uri', method)));
    case 'completion/complete':
      return { called: [completed(params)] };
    case 'subscriptions/listen':
      return listened(params);
    default:
      // What nothing is known about is what a scope must name, or cover with a star.
      return { called: [{ kind: 'method', name: nameOf(method) }] };
  }
}

function named(called: Called): Partial<Message> {
  return { called: [called], name: called.name };
}

function toolOf(params: Params): string {
  const name = textIn(params, 'name', 'tools/call');
  if (!CallToolRequestParamsSchema.safeParse(params).success) {
    throw bad('The params of tools/call are not what the protocol says');
  }
  if (KIND_PREFIX.test(name)) throw bad('No tool is called resource:, prompt: or method: anything');
  return nameOf(name);
}

function nameOf(name: string): string {
  if (name.length <= MAX_NAME) return name;
  throw bad(`A name has 1 to ${MAX_NAME} characters`);
}

function taskIdOf(id: string): string {
  if (id.length <= MAX_TASK_ID) return id;
  throw bad(`A task's id has 1 to ${MAX_TASK_ID} characters`);
}

function resource(uri: string): Called {
  const fault = uriFault(uri);
  if (fault !== undefined) throw bad(`The uri ${fault}; name the resource by its plain address`);
  return { kind: 'resource', name: uri };
}

/** Completion tells what values there are: it takes what using them takes. */
function completed(params: Params): Called {
  const ref = objectIn(params, 'ref', 'completion/complete');
  const type = textIn(ref, 'type', 'the ref of completion/complete');
  if (type === 'ref/prompt') return { kind: 'prompt', name: nameOf(textIn(ref, 'name', type)) };
  if (type === 'ref/resource') return resource(textIn(ref, 'uri', type));
  throw bad('completion/complete refers to ref/prompt or ref/resource');
}

function listened(params: Params): Partial<Message> {
  const filter = objectIn(params, 'notifications', 'subscriptions/listen');
  const uris = namesIn(filter, 'resourceSubscriptions', MAX_CALLED);
  return {
    called: uris.map(resource),
    taskIds: namesIn(filter, 'taskIds', MAX_CALLED).map(taskIdOf),
  };
}

function revisionOf(params: Params): string | undefined {
  const meta = params?.['_meta'];
  const revision =
    typeof meta === 'object' && meta !== null
      ? (meta as Record<string, unknown>)[REVISION_KEY]
      : undefined;
  if (revision === undefined || typeof revision === 'string') return revision;
  throw new ProblemError('bad_request', `${REVISION_KEY} is a text`);
}
