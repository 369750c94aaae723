import type { Agent, Kill, LiveReceipt } from '@sever/protocol';
import { standing } from './history-lines';
import { subjectText } from './kill-report';
import { clockTime, duration } from './moment';
import { shortText, terminalText } from './terminal-text';

/** `03:12:05.123 kill    kil_… partial kill agent agt_…: <summary>`; `suspend`, `lifted` and `revived` stand out. */
export function killLine(at: number, kill: Kill): string {
  const subjects = kill.subjects.map(subjectText);
  const more = subjects.length > 1 ? ` and ${subjects.length - 1} more` : '';
  return (
    `${clockTime(at)} ${wordOf(kill)} ${kill.id} ${kill.state} ${standing(kill)} ${subjects[0] ?? subjectText(kill.subject)}` +
    `${more}: ${terminalText(kill.summary)}`
  );
}

/** Seven characters wide, as all of the words are. */
function wordOf(kill: Kill): string {
  if (kill.lifted) return 'lifted ';
  if (kill.reinstated) return 'revived';
  return kill.action === 'suspend' ? 'suspend' : 'kill   ';
}

/** `03:12:05.140 receipt kil_… enforced by ep-7 in 12 ms` */
export function receiptLine(at: number, receipt: LiveReceipt): string {
  const took = receipt.latency_ms === null ? '' : ` in ${duration(receipt.latency_ms)}`;
  return (
    `${clockTime(at)} receipt ${terminalText(receipt.kill_id)} ${receipt.status} ` +
    `${receipt.status === 'enforced' ? 'by' : 'at'} ${terminalText(receipt.enforcement_point.name)}${took}`
  );
}

/** `03:12:05.150 agent   agt_… active planner for alice@example.com` */
export function agentLine(at: number, agent: Agent): string {
  const under = agent.parent_id === null ? '' : ` under ${agent.parent_id}`;
  return (
    `${clockTime(at)} agent   ${agent.id} ${agent.state} ${shortText(agent.name, 60)}` +
    ` for ${shortText(agent.initiator.subject, 60)}${under}`
  );
}

/** `03:12:05.000 live    connected to …` */
export function noticeLine(at: number, text: string): string {
  return `${clockTime(at)} live    ${terminalText(text)}`;
}
