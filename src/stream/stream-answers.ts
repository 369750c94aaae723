import type { Position } from '@sever/protocol';

/** Where a stream is, and the first entry of its epoch that is still kept. */
export interface KeptHead extends Position {
  readonly compactedBelow: number;
}

export interface Range<E> {
  readonly compacted: boolean;
  readonly entries: readonly E[];
}

/** What somebody who knows everything up to a place is told next. */
export interface News<E> extends Range<E> {
  readonly head: Position;
}

/**
 * @param entries those of `from..to` that were found in this epoch, in order; none where the epoch is another
 * @returns nothing but `compacted` where there is no unbroken way from the first that was asked for
 */
export function rangeAnswer<E extends { readonly seq: number }>(
  asked: { readonly epoch: number; readonly from: number },
  head: KeptHead | null,
  entries: readonly E[],
): Range<E> {
  const gone =
    head === null ||
    head.epoch !== asked.epoch ||
    asked.from < head.compactedBelow ||
    isBroken(asked.from, entries);
  return { compacted: gone, entries: gone ? [] : entries };
}

/**
 * Who is ahead of this database gets nothing here: its next lease request says so.
 *
 * @param entries those after the place that were found in its epoch, in order
 */
export function newsAnswer<E extends { readonly seq: number }>(
  after: Position,
  { compactedBelow, ...head }: KeptHead,
  entries: readonly E[],
): News<E> {
  const from = after.seq + 1;
  const compacted =
    head.epoch > after.epoch ||
    (head.epoch === after.epoch && head.seq >= from && from < compactedBelow) ||
    isBroken(from, entries);
  return { head, compacted, entries: compacted ? [] : entries };
}

/** A hole where an entry should be: retention has passed the mark between two looks. */
function isBroken(from: number, entries: readonly { readonly seq: number }[]): boolean {
  return entries[0] !== undefined && entries[0].seq !== from;
}
