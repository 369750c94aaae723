import { setTimeout as delay } from 'node:timers/promises';

export interface Call {
  readonly path: string;
  readonly body?: object;
  /** An API key or an agent's token. */
  readonly key: string;
  readonly idempotencyKey?: string;
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const ANSWER_WITHIN_MS = 15_000;
const BETWEEN_TRIES_MS = 50;

/** One attempt. `null`: no answer came, so nobody knows what happened. */
export async function attempt(url: string, call: Call, timeoutMs = ANSWER_WITHIN_MS) {
  try {
    const response = await fetch(`${url}${call.path}`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${call.key}`,
        'content-type': 'application/json',
        connection: 'close',
        ...(call.idempotencyKey && { 'idempotency-key': call.idempotencyKey }),
      },
      body: JSON.stringify(call.body ?? {}),
      signal: AbortSignal.timeout(timeoutMs),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] } as Answer;
  } catch {
    return null;
  }
}

/** An answer that says what became of the call. */
export function isFinal(answer: Answer | null): answer is Answer {
  return answer !== null && answer.status < 500 && answer.status !== 429;
}

/** Tries the same call until it is answered, as any caller of an order should. */
export async function untilAnswered(
  url: string,
  call: Call,
  withinMs = 60_000,
  timeoutMs = ANSWER_WITHIN_MS,
): Promise<Answer> {
  const deadline = performance.now() + withinMs;
  let answer: Answer | null = null;
  while (performance.now() < deadline) {
    answer = await attempt(url, call, timeoutMs);
    if (isFinal(answer)) return answer;
    await delay(BETWEEN_TRIES_MS);
  }
  throw new Error(
    `${call.path} was not answered within ${withinMs} ms; last: ${JSON.stringify(answer)}`,
  );
}
