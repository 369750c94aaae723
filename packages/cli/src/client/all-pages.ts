import type { List } from '@sever/protocol';

/**
 * Every item of a paged list, in order.
 *
 * @param read one page; `cursor` is absent for the first
 * @param most stop after this many items; default: all
 */
export async function allPages<T>(
  read: (page: { limit: number; cursor?: string }) => Promise<List<T>>,
  most = Number.POSITIVE_INFINITY,
): Promise<List<T>> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const page: List<T> = await read(cursor === null ? { limit: 500 } : { limit: 500, cursor });
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor !== null && items.length < most);
  return { items, next_cursor: cursor };
}
