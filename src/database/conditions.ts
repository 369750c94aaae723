/** Collects conditions of a statement; every value is a parameter. */
export class Conditions {
  sql = '';

  constructor(readonly parameters: unknown[]) {}

  /** @param condition with a `?` where each value stands */
  add(condition: string, ...values: unknown[]): void {
    const parts = condition.split('?');
    this.sql += ' AND ' + parts[0];
    for (const [at, value] of values.entries()) {
      this.parameters.push(value);
      this.sql += `$${this.parameters.length}${parts[at + 1] ?? ''}`;
    }
  }
}
