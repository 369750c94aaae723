import type { Dispatcher } from 'undici';
import { mediaType } from '../relay/headers';
import { rewriteEvents } from './rewrite-events';
import { wholeBody } from './whole-body';

const MAX_REPLY_BYTES = 64 * 1_024;

/** Did the server do what the request with this id asked for? Reads no more of its reply than that takes. */
export async function readReply(
  { statusCode, headers, body }: Dispatcher.ResponseData,
  id: string,
): Promise<boolean> {
  try {
    if (statusCode >= 300) return false;
    const bytes = body as AsyncIterable<Buffer>;
    if (mediaType(headers['content-type']) !== 'text/event-stream') {
      const { body: whole } = await wholeBody(bytes, MAX_REPLY_BYTES);
      return whole !== undefined && resultOf(whole.toString('utf8'), id) === true;
    }
    let result: boolean | undefined;
    const rewrite = (data: string): Promise<undefined> => {
      result ??= resultOf(data, id);
      return Promise.resolve(undefined);
    };
    for await (const _ of rewriteEvents(bytes, { limit: MAX_REPLY_BYTES, rewrite }))
      if (result !== undefined) return result;
    return false;
  } finally {
    body.on('error', () => undefined).destroy();
  }
}

/** `undefined`: this is not the reply. */
function resultOf(text: string, id: string): boolean | undefined {
  try {
    const reply = JSON.parse(text) as { id?: unknown; result?: unknown };
    return reply.id === id ? reply.result !== undefined : undefined;
  } catch {
    return undefined;
  }
}
