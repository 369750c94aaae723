import { ConnectionError } from '../client/errors';
import { OrderUncertainError, type UntilAnsweredOptions } from '../client/until-answered';
import type { Session } from '../session';

/**
 * Runs something short that is repeated over a bad connection, until Ctrl-C.
 *
 * @param again the command that finds out what happened, or does it once more
 * @throws ConnectionError that says how to go on, when it is not known whether it was done
 */
export async function attempts<T>(
  session: Session,
  again: string,
  run: (options: UntilAnsweredOptions) => Promise<T>,
): Promise<T> {
  const interrupt = new AbortController();
  const ignoreInterrupts = session.io.onInterrupt(() => interrupt.abort());
  try {
    return await run({
      signal: interrupt.signal,
      delay: session.io.delay,
      onNotice: (text) => session.note(text),
      repeated: '',
    });
  } catch (error) {
    if (!(error instanceof OrderUncertainError)) throw error;
    throw new ConnectionError(
      `It is not known whether it was done (${error.message}). Next: ${again}`,
      true,
      { cause: error },
    );
  } finally {
    ignoreInterrupts();
  }
}
