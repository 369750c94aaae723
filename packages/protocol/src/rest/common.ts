import { z } from 'zod';
import { idPattern, type IdKind } from '../ids';

export function Id(kind: IdKind) {
  return z.string().regex(idPattern(kind), `must be a canonical ${kind} id`);
}

export const Timestamp = z.iso.datetime({ offset: true });

export const ListQuery = z.strictObject({
  cursor: z.string().min(1).max(512).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});

export function ListOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next_cursor: z.string().nullable() });
}
export interface List<T> {
  items: T[];
  next_cursor: string | null;
}

export const ProblemBody = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  code: z.string(),
  detail: z.string(),
  kill_id: z.string().optional(),
  terminal: z.boolean().optional(),
});
