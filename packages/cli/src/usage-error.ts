import { CommanderError } from 'commander';
import { EXIT } from './exit-code';

/** The command line itself is wrong; nothing was sent. Exit code 2. */
export function usageError(message: string): CommanderError {
  return new CommanderError(EXIT.usage, 'sever.usage', message);
}
