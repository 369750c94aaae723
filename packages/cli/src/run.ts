import { CommanderError, type Command } from 'commander';
import { buildProgram, withoutValue } from './build-program';
import { ConnectionError, ProblemResponseError, SeverClientError } from './client/errors';
import type { CliIo } from './cli-io';
import { EXIT } from './exit-code';
import { refusalLines } from './output/refusal';
import { terminalJson, terminalText } from './output/terminal-text';

/**
 * Runs one command line.
 *
 * @param argv the arguments alone: `process.argv.slice(2)`
 * @param extend adds commands; give those the io that it receives, so that their `setExitCode` counts
 * @returns the exit code: 0 contained, 1 refused, 2 usage, 3 pending, 4 stuck, 5 emergency
 * @throws what a command throws that is neither a refusal nor a usage error
 * @example
 * process.exitCode = await run(process.argv.slice(2), processIo());
 */
export async function run(
  argv: readonly string[],
  io: CliIo,
  extend?: (program: Command, io: CliIo) => void,
): Promise<number> {
  let code: number = EXIT.contained;
  const own: CliIo = {
    ...io,
    setExitCode: (value) => {
      code = value;
    },
  };
  const program = buildProgram(own);
  extend?.(program, own);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    const json = program.opts<{ json?: boolean }>().json ?? false;
    if (error instanceof CommanderError) return usage(error, json, io);
    if (error instanceof SeverClientError) return refused(error, json, io);
    throw error;
  }
}

function usage(error: CommanderError, json: boolean, io: CliIo): number {
  if (error.exitCode === 0) return EXIT.contained;
  // Commander has printed its own complaints already.
  if (error.code === 'sever.usage') io.stderr.write(`error: ${terminalText(error.message)}\n`);
  if (json) {
    const document = { code: 'usage', detail: withoutValue(error.message) };
    io.stdout.write(`${terminalJson(document, 2)}\n`);
  }
  return EXIT.usage;
}

function refused(error: SeverClientError, json: boolean, io: CliIo): number {
  const lines =
    error instanceof ProblemResponseError ? refusalLines(error.problem) : failure(error);
  io.stderr.write(`${lines.join('\n')}\n`);
  if (json) {
    const document =
      error instanceof ProblemResponseError
        ? error.problem
        : { code: error.code, detail: error.message };
    io.stdout.write(`${terminalJson(document, 2)}\n`);
  }
  return EXIT.refused;
}

function failure(error: SeverClientError): string[] {
  return [
    `sever: ${terminalText(error.message)}`,
    ...(error instanceof ConnectionError
      ? ['next: check --url (or SEVER_URL) and that the control plane runs']
      : []),
  ];
}
