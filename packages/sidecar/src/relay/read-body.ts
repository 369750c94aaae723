import type { IncomingMessage } from 'node:http';
import { ProblemError } from '@sever/protocol';

/**
 * The whole body of a request, as it came.
 *
 * @throws ProblemError `payload_too_large` beyond `limit` bytes; what was not read is left to the caller.
 * @throws the signal's reason, or the error of a broken connection.
 */
export async function readBody(
  request: IncomingMessage,
  limit: number,
  signal: AbortSignal,
): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge(limit);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > limit) settle(() => reject(tooLarge(limit)));
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks)));
    const onError = (error: Error): void => settle(() => reject(error));
    const onClose = (): void => onError(new Error('The request ended before its body did'));
    const onAbort = (): void => onError(signal.reason as Error);
    const settle = (how: () => void): void => {
      request.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose);
      request.pause();
      signal.removeEventListener('abort', onAbort);
      how();
    };
    if (signal.aborted) return reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort);
    request.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
  });
}

function tooLarge(limit: number): ProblemError {
  return new ProblemError('payload_too_large', `A message has at most ${limit} bytes`);
}
