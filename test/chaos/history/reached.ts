import { comparePositions, type Position } from '@sever/protocol';

/** How far each boot is known to have been at a moment. Ask with moments that only grow. */
export class Reached {
  private readonly pending = new Map<string, { position: Position; since: bigint }[]>();
  private readonly known = new Map<string, Position>();

  /** @param since from when on that is certain */
  add(boot: string, position: Position, since: bigint): void {
    const pending = this.pending.get(boot);
    if (pending === undefined) this.pending.set(boot, [{ position, since }]);
    else pending.push({ position, since });
  }

  by(boot: string, moment: bigint): Position | undefined {
    const pending = this.pending.get(boot) ?? [];
    let known = this.known.get(boot);
    for (const { position, since } of pending)
      if (since <= moment && (known === undefined || comparePositions(position, known) > 0))
        known = position;
    if (known !== undefined) this.known.set(boot, known);
    this.pending.set(
      boot,
      pending.filter(({ since }) => since > moment),
    );
    return known;
  }
}
