import { WAIT_DEFAULT_MS, WAIT_MAX_MS } from '@sever/protocol';
import { readWait as readAnyWait } from '../access/wait';

/** Reads `?wait=` of an order: 2 s unless it says otherwise, at most 30 s. @throws ProblemError `bad_request` */
export function readWait(text: string | undefined): number {
  return readAnyWait(text, { usualMs: WAIT_DEFAULT_MS, mostMs: WAIT_MAX_MS });
}
