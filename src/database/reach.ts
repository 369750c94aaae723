import { ProblemError } from '@sever/protocol';

/** Codes of Node and of Postgres (class 08, 57P0x, 53300) that mean: there is no database to talk to now. */
const AWAY =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|57P0[123]|08...|53300)$/;
const AWAY_MESSAGES =
  /Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error/;

/** The database did not answer in the time that the caller could give it. Whether it did the work is not known. */
export class DatabaseSilentError extends ProblemError {
  constructor(ms: number) {
    super('unavailable', `The database has not answered within ${ms} ms; try again in a second.`);
  }
}

/** Is the database away or silent, as opposed to having refused? What was sent to it may have happened all the same. */
export function isDatabaseAway(error: unknown): boolean {
  if (error instanceof DatabaseSilentError) return true;
  if (error instanceof ProblemError) return error.code === 'unavailable';
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return AWAY.test(String(code)) || AWAY_MESSAGES.test(String(message));
}

/**
 * The promise, or after that many milliseconds a {@link DatabaseSilentError}. A frozen server keeps its connections open
 * and says nothing, so no socket error ends a wait for it.
 */
export async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DatabaseSilentError(ms)), ms);
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
}
