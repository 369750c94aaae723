import type { Agent } from '@sever/protocol';
import { table } from './table';
import { shortText, terminalText } from './terminal-text';

/** Agents as a table, one a row. */
export function agentTable(agents: readonly Agent[]): string {
  return table(
    ['agent', 'name', 'state', 'initiator', 'root'],
    agents.map((agent) => [
      agent.id,
      shortText(agent.name, 40),
      stateText(agent),
      shortText(agent.initiator.subject, 40),
      agent.root_id === agent.id ? '(itself)' : agent.root_id,
    ]),
  );
}

/**
 * A spawn tree, one agent a line, indented.
 *
 * @param agents depth first, parents before their children, as the control plane lists them
 */
export function treeLines(agents: readonly Agent[]): string[] {
  const known = new Set(agents.map((agent) => agent.id));
  const children = new Map<string, Agent[]>();
  const tops: Agent[] = [];
  for (const agent of agents) {
    if (agent.parent_id === null || !known.has(agent.parent_id)) tops.push(agent);
    else {
      const siblings = children.get(agent.parent_id);
      if (siblings === undefined) children.set(agent.parent_id, [agent]);
      else siblings.push(agent);
    }
  }
  const lines: string[] = [];
  const walk = (agent: Agent, lead: string, branch: string, below: string) => {
    lines.push(`${lead}${branch}${shortText(agent.name, 60)}  ${agent.id}  ${stateText(agent)}`);
    const own = children.get(agent.id) ?? [];
    own.forEach((child, at) => {
      const last = at === own.length - 1;
      walk(child, lead + below, last ? '└─ ' : '├─ ', last ? '   ' : '│  ');
    });
  };
  for (const top of tops) walk(top, '', '', '');
  return lines;
}

/** `12 agents: 9 active, 3 killed`. */
export function countsByState(agents: readonly Agent[]): string {
  const counts = new Map<string, number>();
  for (const { state } of agents) counts.set(state, (counts.get(state) ?? 0) + 1);
  const parts = [...counts].map(([state, count]) => `${count} ${state}`);
  return `${agents.length} ${agents.length === 1 ? 'agent' : 'agents'}: ${parts.join(', ') || 'none'}`;
}

function stateText(agent: Agent): string {
  return agent.because === null
    ? agent.state
    : `${agent.state} (${terminalText(agent.because.kill_id)})`;
}
