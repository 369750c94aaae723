import { ProblemError, type List } from '@sever/protocol';

const CURSOR = /^[a-z]{3}_[0-7][0-9a-hjkmnp-tv-z]{25}$/;

/**
 * A cursor is the id of the last item, in base64url. It names a place in an order, and gives no right: whatever it says,
 * the caller sees only rows of its own tenant.
 *
 * @throws ProblemError `bad_request` when it is not one of ours.
 */
export function decodeCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const id = Buffer.from(cursor, 'base64url').toString('latin1');
  if (!CURSOR.test(id))
    throw new ProblemError('bad_request', 'cursor: use next_cursor of the page before, unchanged.');
  return id;
}

/** One page from `limit + 1` rows: the extra one only tells that there is more. */
export function pageOf<T extends { id: string }>(rows: T[], limit: number): List<T> {
  const items = rows.slice(0, limit);
  const last = rows.length > limit ? items.at(-1) : undefined;
  return { items, next_cursor: last ? Buffer.from(last.id).toString('base64url') : null };
}

/** For lists whose order is not that of ids: the number of items before the page. */
export function decodeOffset(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  if (!/^@\d{1,9}$/.test(text))
    throw new ProblemError('bad_request', 'cursor: use next_cursor of the page before, unchanged.');
  return Number(text.slice(1));
}

export function offsetPage<T>(rows: T[], limit: number, offset: number): List<T> {
  const more = rows.length > limit;
  return {
    items: rows.slice(0, limit),
    next_cursor: more ? Buffer.from(`@${offset + limit}`).toString('base64url') : null,
  };
}
