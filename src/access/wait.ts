import { ProblemError } from '@sever/protocol';

/** Reads `?wait=`: `0`, `Ns` or `Nms`. More than the most means the most. @throws ProblemError `bad_request` */
export function readWait(
  text: string | undefined,
  { usualMs, mostMs }: { readonly usualMs: number; readonly mostMs: number },
): number {
  if (text === undefined) return usualMs;
  const match = /^(?:0|(\d{1,9})(ms|s))$/.exec(text);
  if (!match)
    throw new ProblemError(
      'bad_request',
      'wait: write 0, or a whole number with s or ms, such as 5s.',
    );
  if (match[1] === undefined) return 0;
  return Math.min(Number(match[1]) * (match[2] === 's' ? 1_000 : 1), mostMs);
}
