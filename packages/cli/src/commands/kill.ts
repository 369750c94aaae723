import type { Command } from 'commander';
import type { CliIo } from '../cli-io';
import { giveOrder } from '../orders/give-order';
import { EXIT_CODES } from '../orders/next-step';
import { addOrderOptions, type OrderOptions } from '../orders/order-options';
import { inSession } from '../session';

export function addKillCommand(program: Command, io: CliIo): void {
  const command = program
    .command('kill')
    .summary('cut agents with all they spawned, or whatever they have in common; final')
    .description(
      'Kills for good: an agent with everything it spawned (agt_…), a credential with what was minted from it (crd_…), all ' +
        'that act for a human (alice@example.com), or what an option names. Several targets are one kill.',
    );
  addOrderOptions(command, 'kill');
  command
    .addHelpText('after', EXIT_CODES)
    .action((targets: string[], options: OrderOptions, own: Command) =>
      inSession(own, io, (session) => giveOrder(session, 'kill', targets, options)),
    );
}
