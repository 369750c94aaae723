import type { Kill } from '@sever/protocol';
import { moment } from './moment';
import { plural } from './plural';
import { terminalText } from './terminal-text';

type Undone = NonNullable<Kill['lifted']>;

/** What an order says beside whom it names, what became of it, and what it has held back. */
export function historyLines(kill: Kill): string[] {
  const { lifted, escalated, reinstated, refused, came_back: back } = kill;
  return [
    ...terms(kill),
    ...(escalated ? [undone('escalated to a kill', escalated)] : []),
    ...(lifted ? [undone('lifted', lifted)] : []),
    ...(reinstated ? [undone('reinstated', reinstated)] : []),
    ...(refused
      ? [`refused by the database: ${terminalText(refused.code)}: ${terminalText(refused.detail)}`]
      : []),
    ...(kill.journaled === false
      ? ['on no disk yet: if that control plane dies before the database is back, repeat it']
      : []),
    ...(kill.refused_since
      ? [`refused since: ${plural(kill.refused_since, 'spawn or mint', 'spawns and mints')}`]
      : []),
    ...(back && back.agents > 0
      ? [
          `came back: ${plural(back.agents, 'root')} of the same service for the same human since: ` +
            back.ids.join(', ') +
            (back.agents > back.ids.length ? ', …' : ''),
        ]
      : []),
  ];
}

/** `suspended (deny_spawn)`, `kill, undone`: one word or two for a table. */
export function standing(kill: Kill): string {
  if (kill.lifted) return 'lifted';
  if (kill.reinstated) return 'reinstated';
  if (kill.escalated) return 'kill (escalated)';
  if (kill.action !== 'suspend') return kill.action;
  return kill.level === undefined || kill.level === null || kill.level === 'deny_all'
    ? 'suspend'
    : `suspend (${terminalText(kill.level)})`;
}

function terms(kill: Kill): string[] {
  const parts: string[] = [];
  if (kill.action === 'suspend') {
    parts.push(`level ${terminalText(kill.level ?? 'deny_all')}`);
    if (!kill.lifted)
      parts.push(kill.expires_at ? `lifts itself at ${moment(kill.expires_at)}` : 'until lifted');
  }
  if (kill.in_flight === 'drain') parts.push('calls in flight may end');
  if (kill.hold_until) parts.push(`new roots are held back until ${moment(kill.hold_until)}`);
  return parts.length === 0 ? [] : [parts.join('; ')];
}

function undone(what: string, { by, at, reason }: Undone): string {
  return `${what} by ${terminalText(by.name)} at ${moment(at)}: ${terminalText(reason)}`;
}
