import type { Command } from 'commander';
import { isId } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import type { CliIo } from '../cli-io';
import { countsByState, treeLines } from '../output/agent-lines';
import { inSession } from '../session';
import { usageError } from '../usage-error';

export function addTreeCommand(program: Command, io: CliIo): void {
  program
    .command('tree')
    .summary('show an agent and all it spawned')
    .argument('<agent>', 'agt_…')
    .action((agentId: string, _options: unknown, command: Command) =>
      inSession(command, io, async (session) => {
        if (!isId('agent', agentId)) {
          throw usageError(`${JSON.stringify(agentId)} is not an agent id; look it up: sever find`);
        }
        const tree = await allPages((page) => session.client.tree(agentId, page));
        session.print(tree, () =>
          [...treeLines(tree.items), '', countsByState(tree.items)].join('\n'),
        );
        return 0;
      }),
    );
}
