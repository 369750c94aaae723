import type { Command } from 'commander';
import type { CliIo } from '../cli-io';
import { giveOrder } from '../orders/give-order';
import { EXIT_CODES } from '../orders/next-step';
import { addOrderOptions, type OrderOptions } from '../orders/order-options';
import { inSession } from '../session';

export function addSuspendCommand(program: Command, io: CliIo): void {
  const command = program
    .command('suspend')
    .summary('stop agents, tools or whatever else until it is lifted')
    .description(
      'Suspends what kill would kill, or a tool or upstream for everybody, until `sever lift` or the end of --expires. ' +
        'Credentials stay what they were and work again afterwards.',
    );
  addOrderOptions(command, 'suspend');
  command
    .addHelpText('after', EXIT_CODES)
    .action((targets: string[], options: OrderOptions, own: Command) =>
      inSession(own, io, (session) => giveOrder(session, 'suspend', targets, options)),
    );
}
