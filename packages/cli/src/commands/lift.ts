import type { Command } from 'commander';
import { isId, type Kill } from '@sever/protocol';
import { untilAnswered } from '../client/until-answered';
import type { CliIo } from '../cli-io';
import { EXIT } from '../exit-code';
import { killReport } from '../output/kill-report';
import { attempts } from '../orders/attempts';
import { inSession } from '../session';
import { usageError } from '../usage-error';

export function addLiftCommand(program: Command, io: CliIo): void {
  program
    .command('lift')
    .summary('end a suspension; its agents go on')
    .description(
      'Ends a suspension: a lead any of them, a responder what it suspended itself, for as long as the tenant allows. ' +
        'Lifting again changes nothing.',
    )
    .argument('<kill>', 'kil_… of the suspension')
    .requiredOption('--reason <text>', 'why; kept in the record')
    .addHelpText('after', '\nExit codes: 0 lifted · 1 refused, or not reached · 2 usage\n')
    .action((killId: string, { reason }: { reason: string }, command: Command) =>
      inSession(command, io, async (session) => {
        const id = checkedKill(killId);
        if (reason.trim() === '') throw usageError('--reason must say why');
        const lifted: Kill = await attempts(session, `sever lift ${id}`, (how) =>
          untilAnswered(() => session.client.liftKill(id, { reason }, how), how),
        );
        session.print(lifted, () => killReport(lifted, []));
        return EXIT.contained;
      }),
    );
}

/** @throws CommanderError */
export function checkedKill(text: string): string {
  if (!isId('kill', text))
    throw usageError(`${JSON.stringify(text)} is not a kill id; list them: sever kills`);
  return text;
}
