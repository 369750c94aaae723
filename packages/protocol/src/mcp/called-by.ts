import { KIND_PREFIX, type Called } from './called';
import { bad, namesIn, objectIn, textIn, type Params } from './params';
import { uriFault } from './resource-uri';

/** What a request or notification of MCP is about, at the boundary. */
export interface CalledBy {
  /** What it takes authority over; nothing: a living token is enough. */
  readonly called: readonly Called[];
  /** What the header `Mcp-Name` repeats. */
  readonly name?: string;
  /** The tasks that it is about. */
  readonly taskIds?: readonly string[];
}

/** The longest name of a tool or prompt; with the upstream's it stays within what a scope can say. */
const MAX_NAME = 200;
const MAX_TASK_ID = 256;
/** As many resources as one message may name. */
const MAX_CALLED = 64;

/** Methods that say or show nothing of what others own, or whose replies are filtered. */
const LIVENESS = new Set([
  ...['initialize', 'ping', 'server/discover', 'logging/setLevel'],
  ...['tools/list', 'resources/list', 'resources/templates/list', 'prompts/list', 'tasks/list'],
]);
const ABOUT_A_TASK = new Set(['tasks/get', 'tasks/result', 'tasks/update', 'tasks/cancel']);

/** @throws ProblemError `bad_request` for params that the protocol does not know */
export function calledBy(method: string, params: Params): CalledBy {
  if (LIVENESS.has(method) || method.startsWith('notifications/')) return { called: [] };
  if (ABOUT_A_TASK.has(method)) {
    const id = taskIdOf(textIn(params, 'taskId', method));
    return { called: [], taskIds: [id], name: id };
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

function named(called: Called): CalledBy {
  return { called: [called], name: called.name };
}

function toolOf(params: Params): string {
  const name = textIn(params, 'name', 'tools/call');
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

function listened(params: Params): CalledBy {
  const filter = objectIn(params, 'notifications', 'subscriptions/listen');
  const uris = namesIn(filter, 'resourceSubscriptions', MAX_CALLED);
  return {
    called: uris.map(resource),
    taskIds: namesIn(filter, 'taskIds', MAX_CALLED).map(taskIdOf),
  };
}
