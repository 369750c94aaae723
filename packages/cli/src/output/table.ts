import Table from 'cli-table3';

/** A table in plain text. Cells must already be safe for a terminal. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const drawn = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) drawn.push([...row]);
  return drawn.toString();
}
