import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { HoldGate } from '../relay/hold-gate';

/** Whether a request announces a body; an empty one is none. */
export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length ?? '0') !== '0';
}

/**
 * The body of a request as it comes, piece by piece as fast as it is read, and not a piece while the call is held.
 * Once it is destroyed, what is left of the request is for whoever answers it to drain.
 */
export function uploadOf(request: IncomingMessage, gate: HoldGate, signal: AbortSignal): Readable {
  const upload = new Readable({ highWaterMark: 1, read: () => void request.resume() });
  const push = async (chunk: Buffer): Promise<void> => {
    while (gate.shut) await gate.pass(signal);
    if (!upload.destroyed) upload.push(chunk);
  };
  const onData = (chunk: Buffer): void => {
    request.pause();
    push(chunk).catch((error: unknown) => upload.destroy(error as Error));
  };
  const onEnd = (): void => void upload.push(null);
  const onClose = (): void => {
    if (!request.complete) upload.destroy(new Error('The request ended before its body did'));
  };
  const onError = (error: Error): void => void upload.destroy(error);
  request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onError);
  request.pause();
  upload.once('close', () => {
    request.off('data', onData).off('end', onEnd).off('close', onClose);
  });
  // Whoever sends it hears of the failure as well; here it must not end the process.
  upload.on('error', () => undefined);
  return upload;
}
