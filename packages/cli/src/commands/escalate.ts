import type { Command } from 'commander';
import { WAIT_DEFAULT_MS } from '@sever/protocol';
import type { CliIo } from '../cli-io';
import { carryOut } from '../orders/carry-out';
import { EXIT_CODES } from '../orders/next-step';
import { durationOf } from '../orders/order-options';
import { inSession } from '../session';
import { usageError } from '../usage-error';
import { checkedKill } from './lift';

export function addEscalateCommand(program: Command, io: CliIo): void {
  program
    .command('escalate')
    .summary('make a kill of a suspension; final')
    .description('What a suspension holds is killed for good, under the id of the suspension.')
    .argument('<kill>', 'kil_… of the suspension')
    .requiredOption('--reason <text>', 'why; kept in the record')
    .option(
      '--wait <time>',
      'how long to wait for containment: 0, 500ms, 30s, 2m',
      durationOf,
      WAIT_DEFAULT_MS,
    )
    .addHelpText('after', EXIT_CODES)
    .action((killId: string, options: { reason: string; wait: number }, command: Command) =>
      inSession(command, io, (session) => {
        const id = checkedKill(killId);
        const { reason, wait } = options;
        if (reason.trim() === '') throw usageError('--reason must say why');
        return carryOut(session, {
          what: 'kill',
          waitMs: wait,
          send: (how) => session.client.escalateKill(id, { reason }, how),
        });
      }),
    );
}
