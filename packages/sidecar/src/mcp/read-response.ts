import { listOf } from '@sever/protocol';
import type { Dispatcher } from 'undici';
import { mediaType } from '../relay/headers';
import type { Message } from './message';
import { ResultReader, type ReadingParts } from './read-result';
import { rewriteEvents, unreadable } from './rewrite-events';
import { wholeBody } from './whole-body';

export interface ResponseReading extends ReadingParts {
  /** Absent for a stream that listens, or was resumed. */
  readonly message: Message | undefined;
  /** The longest reply, or event, that holds a list, in bytes. */
  readonly listBytes: number;
  /** The longest other event that is kept until it is whole. */
  readonly eventBytes: number;
}

type Head = Pick<Dispatcher.ResponseData, 'statusCode' | 'headers'>;

/** A reply that says that a task has begun is short; longer ones go on unread, but where a task was asked for. */
const TASK_BYTES = 64 * 1_024;
const TASK_KEY = '"taskId"';

/**
 * The response as the agent may see it. What no list can be in goes on as it comes.
 *
 * @throws ProblemError `upstream_unreachable` when something that must be read cannot be, then or while it is sent
 */
export async function readResponse(
  head: Head,
  bytes: AsyncIterable<Buffer>,
  reading: ResponseReading,
): Promise<{ readonly head: Head; readonly bytes: AsyncIterable<Buffer> }> {
  const { message, listBytes, eventBytes } = reading;
  const { statusCode, headers } = head;
  if (statusCode >= 300 || statusCode === 202) return { head, bytes };
  const list = listOf(message?.method);
  const asked =
    message === undefined
      ? 'anything'
      : list !== undefined && message.id !== undefined
        ? { id: message.id, list }
        : 'task';
  const reader = new ResultReader(reading, asked);
  if (mediaType(headers['content-type']) === 'text/event-stream') {
    const rewrite = async (data: string) => await reader.read(data);
    const which = asked === 'task' ? { limit: eventBytes, only: TASK_KEY } : { limit: listBytes };
    return { head, bytes: rewriteEvents(bytes, { ...which, rewrite }) };
  }
  const mustRead = asked !== 'task' || message?.wantsTask === true;
  if (!mustRead && message?.method !== 'tools/call') return { head, bytes };
  const { body, rest } = await wholeBody(bytes, mustRead ? listBytes : TASK_BYTES);
  if (body === undefined) {
    if (mustRead) throw unreadable('replies with more than can be looked at');
    return { head, bytes: rest };
  }
  if ((headers['content-encoding'] ?? 'identity') !== 'identity' && mustRead) {
    throw unreadable('compresses its reply though it was asked not to');
  }
  const text = await reader.read(body.toString('utf8'));
  if (text === undefined) return { head, bytes: rest };
  const other = Buffer.from(text);
  return {
    head: { statusCode, headers: { ...headers, 'content-length': String(other.length) } },
    bytes: once(other),
  };
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes);
}
