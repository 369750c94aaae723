import Table from 'cli-table3';
import { isMet, type Goal, type Result } from './result';

/** The result as text for a terminal. */
export function tables(result: Result): string {
  const figures = new Table({
    head: ['', 'figure', 'unit', 'median', 'p99', 'min', 'n'],
    style: { head: [], border: [] },
  });
  for (const { what, role, unit, summary } of result.figures)
    figures.push([
      role === 'floor' ? 'floor' : '',
      ...[what, unit, number(summary.median), number(summary.p99), number(summary.min)],
      String(summary.n),
    ]);
  const goals = new Table({
    head: ['goal', 'ratio', 'is', 'must be', ''],
    style: { head: [], border: [] },
  });
  for (const goal of result.goals)
    goals.push([
      goal.id,
      goal.what,
      number(goal.value),
      bound(goal),
      isMet(goal) ? 'met' : 'NOT MET',
    ]);
  return [
    `${result.benchmark}: ${result.title}`,
    figures.toString(),
    ...(result.goals.length > 0 ? [goals.toString()] : []),
    ...result.notes.map((note) => `  ${note}`),
    '',
  ].join('\n');
}

function bound({ must, bound }: Goal): string {
  return `${must} ${number(bound)}`;
}

/** Three significant digits, and whole numbers above a hundred. */
function number(value: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
