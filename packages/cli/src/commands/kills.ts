import type { Command } from 'commander';
import { isId, type Kill } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import type { CliIo } from '../cli-io';
import { EXIT, exitCodeOf } from '../exit-code';
import { standing } from '../output/history-lines';
import { killReport, subjectText } from '../output/kill-report';
import { moment } from '../output/moment';
import { table } from '../output/table';
import { shortText } from '../output/terminal-text';
import { inSession, type Session } from '../session';
import { usageError } from '../usage-error';
import { EXIT_CODES, nextStep } from '../orders/next-step';

export function addKillsCommand(program: Command, io: CliIo): void {
  program
    .command('kills')
    .summary('list kills and suspensions, or show one with its receipts')
    .argument('[kill]', 'kil_…: show this one, with an exit code as of kill')
    .option('--subject <subject>', 'only kills of this subject, kind:id')
    .addHelpText('after', EXIT_CODES)
    .action((killId: string | undefined, options: { subject?: string }, command: Command) =>
      inSession(command, io, (session) =>
        killId === undefined ? list(session, options.subject) : show(session, killId),
      ),
    );
}

async function list(session: Session, subject: string | undefined): Promise<number> {
  const kills = await session.client.listKills(subject === undefined ? {} : { subject });
  session.print(kills, () =>
    kills.items.length === 0
      ? 'No kills.'
      : [
          killTable(kills.items),
          ...(kills.next_cursor === null ? [] : ['There are older ones.']),
          'To look at one: sever kills kil_…',
        ].join('\n'),
  );
  return 0;
}

async function show(session: Session, killId: string): Promise<number> {
  if (!isId('kill', killId)) {
    throw usageError(`${JSON.stringify(killId)} is not a kill id; list them: sever kills`);
  }
  const kill = await session.client.getKill(killId);
  const receipts = await allPages((page) => session.client.receipts(killId, page));
  session.print({ ...kill, receipts: receipts.items }, () => killReport(kill, receipts.items));
  const code = exitCodeOf(kill, session.client.serverNow());
  if (code !== EXIT.contained) session.note(nextStep(code, kill));
  return code;
}

/** Kills as a table, one a row. */
export function killTable(kills: readonly Kill[]): string {
  return table(
    ['kill', 'at', 'order', 'state', 'stopped at', 'subject', 'reason'],
    kills.map((kill) => [
      kill.id,
      moment(kill.created_at),
      standing(kill),
      kill.state,
      `${kill.containment.enforced + kill.containment.dark} of ${kill.containment.required}`,
      subjectText(kill.subject) +
        (kill.subjects.length > 1 ? ` and ${kill.subjects.length - 1} more` : ''),
      shortText(kill.reason, 30),
    ]),
  );
}
