import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Planes } from './planes';

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const PAUSE_MS = 150;
const ANSWER_MS = 8_000;
/** Longer than any fault lasts, with the start of a replica on a busy machine. */
const GIVE_UP_MS = 90_000;

/** The HTTP interface as a stubborn client uses it: at any replica, again until there is an answer that is one. */
export class Api {
  private turn = 0;
  private stopped = false;
  /** Why no answer came, the last time that none did. */
  private lastFailure = 'nobody to ask';

  constructor(
    private readonly planes: Planes,
    private readonly key: string,
  ) {}

  /** Those who wait for an answer get none any more. */
  stop(): void {
    this.stopped = true;
  }

  /** Repeats under one Idempotency-Key until a replica says 2xx, or no. `null` when the run ended meanwhile. */
  async order(path: string, body: object, idempotencyKey: string = randomUUID()) {
    const began = performance.now();
    while (!this.stopped) {
      const answer = await this.once('POST', path, { body, idempotencyKey });
      if (answer !== null && isFinal(answer)) return answer;
      if (performance.now() - began > GIVE_UP_MS)
        throw new Error(
          `POST ${path}: no answer in ${GIVE_UP_MS} ms, last ${said(answer)}; ${this.lastFailure}`,
        );
      await delay(PAUSE_MS);
    }
    return null;
  }

  /** One try at one replica; `null` when no whole answer came. */
  async once(
    method: string,
    path: string,
    options: { body?: object; idempotencyKey?: string; key?: string; url?: string } = {},
  ): Promise<Answer | null> {
    const { living } = this.planes;
    this.turn += 1;
    const url = options.url ?? living[this.turn % Math.max(1, living.length)]?.url;
    if (url === undefined) return null;
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${options.key ?? this.key}`,
          ...(options.body && { 'content-type': 'application/json' }),
          ...(options.idempotencyKey && { 'idempotency-key': options.idempotencyKey }),
        },
        ...(options.body && { body: JSON.stringify(options.body) }),
        signal: AbortSignal.timeout(ANSWER_MS),
      });
      const text = await response.text();
      return { status: response.status, body: parse(text) };
    } catch (error) {
      this.lastFailure = `${url}${path}: ${reasonOf(error)}`;
      return null;
    }
  }
}

function isFinal({ status }: Answer): boolean {
  return status < 500 && status !== 429 && status !== 408;
}

function parse(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function said(answer: Answer | null): string {
  return answer === null
    ? 'nothing'
    : `${answer.status} ${JSON.stringify(answer.body).slice(0, 200)}`;
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
