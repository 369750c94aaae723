import { setTimeout as delay } from 'node:timers/promises';

/** What the kill before set going (receipts, the listing of its cascade) should not fall into the next measurement. */
const REST_MS = 60;

/**
 * Runs every step once a round, each round beginning with another step: whatever else the machine does meanwhile then
 * weighs on floors and figures alike.
 */
export async function inTurns(
  rounds: number,
  steps: readonly (() => Promise<void>)[],
): Promise<void> {
  for (let round = 0; round < rounds; round++)
    for (let turn = 0; turn < steps.length; turn++) {
      await steps[(round + turn) % steps.length]?.();
      await delay(REST_MS);
    }
}

/** Runs the work for each input, at most so many at a time. */
export async function atMost<T>(
  limit: number,
  inputs: readonly T[],
  work: (input: T, at: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < inputs.length) {
      const at = next++;
      await work(inputs[at] as T, at);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, inputs.length) }, worker));
}
