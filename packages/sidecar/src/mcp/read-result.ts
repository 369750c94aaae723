import type { RequestId } from '@modelcontextprotocol/sdk/types.js';
import { entryOf, LIST_KEYS, type ListKey } from '@sever/protocol';
import type { AgentView } from './agent-view';
import type { Effects } from './effects';
import { unreadable } from './rewrite-events';

/** A task that the upstream says it has begun. */
export interface BegunTask {
  readonly id: string;
  /** Milliseconds; absent: the upstream does not say, or keeps it for good. */
  readonly ttlMs: number | undefined;
}

export interface ReadingParts {
  readonly view: AgentView;
  readonly effects: Effects;
  /** Called before the reply goes on, so that the agent can ask for it at once. */
  readonly onTask: (task: BegunTask) => void;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads what a server replies: lists are left with what the agent may call, and tasks that begin are noted. Any reply
 * that holds a list is read so, whatever it answers: on a stream that was resumed, nobody knows what was asked.
 */
export class ResultReader {
  /**
   * @param asked `list`: the reply to the request with this id must hold this list; `anything`: nobody knows, so what
   *   cannot be read does not go on; `task`: only a task may begin, and what cannot be read is none
   */
  constructor(
    private readonly parts: ReadingParts,
    private readonly asked:
      { readonly id: RequestId; readonly list: ListKey } | 'anything' | 'task',
  ) {}

  /** @throws ProblemError `upstream_unreachable` when what must be read cannot be */
  async read(text: string): Promise<string | undefined> {
    if (text === '') return undefined;
    const message = parse(text);
    if (!isFields(message)) {
      if (this.asked === 'task') return undefined;
      throw unreadable('sends what is no JSON-RPC message where a list may stand');
    }
    if (!('result' in message)) return undefined;
    const { id, result } = message;
    if (typeof this.asked === 'object' && id === this.asked.id) {
      if (!isFields(result) || !Array.isArray(result[this.asked.list])) {
        throw unreadable('answers without the list that it was asked for');
      }
    }
    if (!isFields(result)) return undefined;
    this.noteTask(result);
    if (!LIST_KEYS.some((key) => Array.isArray(result[key]))) return undefined;
    return JSON.stringify({ ...message, result: await this.filtered(result) });
  }

  private async filtered(result: Fields): Promise<Fields> {
    const kept: Record<string, unknown> = { ...result };
    for (const key of LIST_KEYS) {
      const list = result[key];
      if (!Array.isArray(list)) continue;
      const shown: unknown[] = [];
      for (const one of list as unknown[]) {
        const entry = entryOf(key, one);
        if (entry === undefined) continue;
        if (key === 'tools') this.parts.effects.learn(one as { name: string });
        if (await this.parts.view.shows(entry)) shown.push(one);
      }
      kept[key] = shown;
    }
    return kept;
  }

  /** As 2025-11-25 says it, in a field of its own, or as the extension of later revisions does. */
  private noteTask(result: Fields): void {
    const task = isFields(result['task'])
      ? result['task']
      : result['resultType'] === 'task'
        ? result
        : undefined;
    const id = task?.['taskId'];
    if (typeof id !== 'string' || id === '' || id.length > 256) return;
    const ttl = task?.['ttl'] ?? task?.['ttlMs'];
    this.parts.onTask({ id, ttlMs: typeof ttl === 'number' && ttl >= 0 ? ttl : undefined });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
