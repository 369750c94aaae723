import { ProblemError, WAIT_DEFAULT_MS, WAIT_MAX_MS } from '@sever/protocol';

/** Reads `?wait=`: `0`, `Ns` or `Nms`; more than 30 s means 30 s. @throws ProblemError `bad_request` */
export function readWait(text: string | undefined): number {
  if (text === undefined) return WAIT_DEFAULT_MS;
  const match = /^(?:0|(\d{1,9})(ms|s))$/.exec(text);
  if (!match)
    throw new ProblemError(
      'bad_request',
      'wait: write 0, or a whole number with s or ms, such as 5s.',
    );
  if (match[1] === undefined) return 0;
  return Math.min(Number(match[1]) * (match[2] === 's' ? 1_000 : 1), WAIT_MAX_MS);
}
