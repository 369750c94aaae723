import { z } from 'zod';
import { ListOf, ListQuery, Timestamp } from './common';

/** Why an epoch was opened: what showed that the database is not the one that it was. */
export const EPOCH_CAUSES = ['system_identifier', 'timeline', 'published', 'evidence'] as const;

/** One time that the database was found to have gone back, and what became of the entries behind it. */
export const EpochInfo = z.object({
  epoch: z.number().int(),
  opened_at: Timestamp,
  /**
   * `system_identifier`, `timeline`: the database says that it is another one. `published`: its head lay below what had
   * been published. `evidence`: an enforcement point showed a signed entry that it does not hold.
   */
  because: z.enum(EPOCH_CAUSES),
  /** `"E.seq"`, where the database stood when it was found. */
  former_head: z.string(),
  /** The highest place known to have been signed before; `null` while nothing above the former head has been seen. */
  highest_seen: z.string().nullable(),
  /** Orders that were committed again, under their ids, from entries that enforcement points showed. */
  restored: z.array(z.string()),
  /** Places of which nobody has shown the entry so far. `to` is `null` where an epoch's end is not known. */
  lost: z.array(z.object({ from: z.string(), to: z.string().nullable() })),
  /** No kill of this epoch is called contained before leases from before it have run out. */
  settled: z.boolean(),
});
export type EpochInfo = z.infer<typeof EpochInfo>;
export const EpochQuery = ListQuery;
export const EpochList = ListOf(EpochInfo);
