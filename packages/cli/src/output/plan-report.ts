import type { KillPlan } from '@sever/protocol';
import { subjectText } from './kill-report';
import { resolvedLines } from './resolved-lines';
import { table } from './table';
import { shortText, terminalText } from './terminal-text';
import { plural } from './plural';

/** More rows than this nobody reads; the counts have them all. */
const MOST_ROWS = 25;

/** What an order would do, and the line that does it. */
export function planReport(
  action: 'kill' | 'suspend',
  plan: KillPlan,
  { command, maxAgents }: { command: string; maxAgents: number | undefined },
): string {
  const { counts, agents } = plan;
  const done = action === 'kill' ? 'killed' : 'suspended';
  const rows = agents.slice(0, MOST_ROWS);
  return [
    `Nothing was ${done}. This would ${action} ${plural(counts.agents, 'living agent')}, ` +
      `${plural(counts.credentials, 'credential')} and ${plural(counts.grants, 'grant')}.`,
    '',
    `on ${plan.subjects.map(subjectText).join(', ')}`,
    ...resolvedLines(plan),
    ...(rows.length === 0
      ? []
      : [
          table(
            ['agent', 'name', 'depth', 'state', 'for'],
            rows.map((agent) => [
              agent.id,
              shortText(agent.name, 40),
              String(agent.depth),
              agent.state,
              shortText(agent.initiator, 40),
            ]),
          ),
        ]),
    ...(counts.agents > rows.length ? [`and ${counts.agents - rows.length} more`] : []),
    ...plan.keep_another_lineage.map(
      ({ id, name }) =>
        `lives on: ${id} ${shortText(name, 40)}, by a credential of another lineage; name it too if it must stop`,
    ),
    `plan ${terminalText(plan.plan_hash)}`,
    ...(maxAgents !== undefined && counts.agents > maxAgents
      ? [`It would be refused: that is more than --max-agents ${maxAgents}.`]
      : []),
    '',
    `To ${action} exactly this:`,
    `  ${command}`,
  ].join('\n');
}
