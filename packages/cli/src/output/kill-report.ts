import type { Kill, KillReceipt } from '@sever/protocol';
import { historyLines } from './history-lines';
import { duration, moment } from './moment';
import { resolvedLines } from './resolved-lines';
import { table } from './table';
import { terminalText } from './terminal-text';

const WARNINGS: Readonly<Record<string, string>> = {
  no_enforcement_points:
    'no enforcement point is enrolled, so nothing is refused yet except spawns and mints',
  database_restored:
    'the database was restored a short while ago; it may have forgotten enforcement points that still admit',
  same_name_under_other_issuers:
    'other identity providers know somebody of that name as well; give --issuer to name them',
};

/**
 * A kill for human eyes: the summary first, then each enforcement point.
 *
 * @param receipts `null` when they could not be read; the containment then tells what it can
 */
export function killReport(kill: Kill, receipts: readonly KillReceipt[] | null): string {
  const lines = [terminalText(kill.summary), '', ...facts(kill)];
  const rows = receipts === null ? rowsOfContainment(kill) : rowsOfReceipts(kill, receipts);
  if (rows.length > 0) {
    lines.push(table(['enforcement point', 'mode', 'status', ''], rows));
  }
  for (const warning of kill.warnings) {
    // Told in words below, with the names that are close.
    if (warning === 'matched_nothing') continue;
    const meaning = WARNINGS[warning];
    lines.push(`warning: ${terminalText(warning)}${meaning ? ` (${meaning})` : ''}`);
  }
  for (const gap of kill.containment.not_covered) {
    lines.push(`not covered: ${terminalText(gap.what)}: ${terminalText(gap.detail)}`);
  }
  lines.push(...resolvedLines(kill));
  const next = followUp(kill);
  if (next !== null) lines.push('', `next: ${next}`);
  return `${lines.join('\n')}\n`;
}

/** What one may want to do about an order that has done what it should. */
function followUp(kill: Kill): string | null {
  if (kill.lifted || kill.reinstated || kill.refused) return null;
  if (kill.action === 'suspend')
    return `undo it: sever lift ${kill.id} --reason '…'; make it final: sever escalate ${kill.id} --reason '…'`;
  const back = kill.came_back?.ids[0];
  if (back !== undefined)
    return `stop what came back, and hold new ones: sever kill ${back} --hold 15m --reason '…'`;
  return null;
}

function facts(kill: Kill): string[] {
  const { agents, credentials, state } = kill.cascade;
  const { latency_ms: latency } = kill.containment;
  const cascade =
    agents === null
      ? `cascade ${state}`
      : `cascade ${state}: ${agents} agents, ${credentials ?? '?'} credentials`;
  return [
    `${kill.id}  ${kill.state}  ${kill.action} ${kill.subjects.map(subjectText).join(', ')}`,
    `by ${terminalText(kill.created_by.name)} at ${moment(kill.created_at)}: ${terminalText(kill.reason)}` +
      (kill.ticket === null ? '' : ` (${terminalText(kill.ticket)})`),
    cascade + (latency === null ? '' : `; slowest receipt in ${duration(latency.max)}`),
    ...historyLines(kill),
  ];
}

export function subjectText(subject: { readonly kind: string; readonly id: string }): string {
  return `${terminalText(subject.kind)} ${terminalText(subject.id)}`;
}

function rowsOfReceipts(kill: Kill, receipts: readonly KillReceipt[]): string[][] {
  const darkBy = new Map(kill.containment.pending.map((point) => [point.id, point.dark_by]));
  const errors = new Map(kill.containment.nack.map((point) => [point.id, point.error]));
  return receipts.map((receipt) => {
    const { id, name, mode } = receipt.enforcement_point;
    const details: string[] = [];
    if (receipt.latency_ms !== null) details.push(`in ${duration(receipt.latency_ms)}`);
    if (receipt.in_flight) {
      const { aborted, completed, uncontrolled } = receipt.in_flight;
      if (aborted > 0) details.push(`${aborted} in-flight cut`);
      if (completed > 0) details.push(`${completed} ended first`);
      if (uncontrolled > 0) details.push(`${uncontrolled} not controlled`);
    }
    const rest = detail(receipt.status, darkBy.get(id) ?? null, errors.get(id) ?? '');
    if (rest !== '') details.push(rest);
    return [terminalText(name), mode, receipt.status, details.join(', ')];
  });
}

function rowsOfContainment({ containment }: Kill): string[][] {
  const { enforced, dark, pending, nack, unknown } = containment;
  return [
    ...(enforced > 0 ? [[`(${enforced} of ${containment.required})`, '', 'enforced', '']] : []),
    ...(dark > 0
      ? [[`(${dark} of ${containment.required})`, '', 'dark', detail('dark', null, '')]]
      : []),
    ...pending.map((point) => [
      terminalText(point.name),
      point.mode,
      'pending',
      detail('pending', point.dark_by, ''),
    ]),
    ...nack.map((point) => [
      terminalText(point.name),
      '',
      'nack',
      detail('nack', null, point.error),
    ]),
    ...unknown.map((point) => [
      terminalText(point.name),
      '',
      'unknown',
      detail('unknown', null, ''),
    ]),
  ];
}

function detail(status: KillReceipt['status'], darkBy: string | null, error: string): string {
  switch (status) {
    case 'enforced':
      return '';
    case 'dark':
      return 'no lease left: admits nothing';
    case 'pending':
      return darkBy === null ? 'no receipt yet' : `no receipt yet; dark by ${moment(darkBy)}`;
    case 'nack':
      return terminalText(error) || 'could not apply it';
    case 'unknown':
      return 'silent; may still admit';
  }
}
