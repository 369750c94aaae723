/** A place in a tenant's revocation stream: sequence numbers are gapless and in commit order within an epoch. */
export interface Position {
  readonly epoch: number;
  readonly seq: number;
}

/** Negative when `a` is earlier than `b`, zero when equal, positive when later. */
export function comparePositions(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.seq - b.seq;
}

/** `"E.seq"`, as replies carry it. */
export function formatPosition({ epoch, seq }: Position): string {
  return `${epoch}.${seq}`;
}

export function parsePosition(text: string): Position | null {
  const match = /^(\d{1,7})\.(\d{1,16})$/.exec(text);
  if (!match) return null;
  const position = { epoch: Number(match[1]), seq: Number(match[2]) };
  return Number.isSafeInteger(position.seq) ? position : null;
}
