import type { IncomingMessage } from 'node:http';
import { ProblemError } from '@sever/protocol';

const MAX_BODY = 4 * 1_024 * 1_024;

/** @throws ProblemError `payload_too_large`, `bad_request` */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY)
      throw new ProblemError('payload_too_large', `A message has at most ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new ProblemError('bad_request', 'The body is not JSON');
  }
}
