import { Command } from 'commander';
import type { CliIo } from './cli-io';
import { addCallsCommand } from './commands/calls';
import { addDrillCommand } from './commands/drill';
import { addEscalateCommand } from './commands/escalate';
import { addFindCommand } from './commands/find';
import { addHaltCommand } from './commands/halt';
import { addKillCommand } from './commands/kill';
import { addKillsCommand } from './commands/kills';
import { addLiftCommand } from './commands/lift';
import { addReinstateCommand } from './commands/reinstate';
import { addStatusCommand } from './commands/status';
import { addSuspendCommand } from './commands/suspend';
import { addTreeCommand } from './commands/tree';
import { addWatchCommand } from './commands/watch';
import { terminalText } from './output/terminal-text';

/**
 * The program with every command of this package. It throws commander's errors instead of ending the process; `run`
 * turns them and refusals into exit codes. More commands can be added with `program.command(…)`.
 *
 * @example
 * const program = buildProgram(processIo());
 * program.command('demo').action(() => runDemo());
 */
export function buildProgram(io: CliIo): Command {
  const program = new Command('sever')
    .description('Sever: cut AI agents and everything they spawned, and see that they are cut.')
    .option('--url <url>', 'control plane (SEVER_URL; default http://127.0.0.1:7400)')
    .option('--key <key>', 'API key; SEVER_KEY keeps it out of the process list')
    .option('--json', 'one JSON document instead of text (watch: NDJSON)')
    .exitOverride()
    .showHelpAfterError('(add --help for how to use it)')
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: (text, write) => {
        write(text.split('\n').map(withoutValue).map(terminalText).join('\n'));
      },
    });
  addKillCommand(program, io);
  addSuspendCommand(program, io);
  addLiftCommand(program, io);
  addEscalateCommand(program, io);
  addReinstateCommand(program, io);
  addHaltCommand(program, io);
  addFindCommand(program, io);
  addTreeCommand(program, io);
  addKillsCommand(program, io);
  addCallsCommand(program, io);
  addWatchCommand(program, io);
  addStatusCommand(program, io);
  addDrillCommand(program, io);
  return program;
}

/** A misspelt `--key=…` must not print what follows. */
export function withoutValue(complaint: string): string {
  return complaint.replace(/(option '--?[^'=]*=)[^']*/, '$1…');
}
