import { z } from 'zod';
import { Id, ListOf, ListQuery, Timestamp } from './common';

/** `POST /v1/drills`: a kill of canaries, again and again, seen from outside at these enforcement points. */
export const CreateDrill = z.strictObject({
  /** Base URLs of sidecars, as their callers reach them. */
  via: z
    .array(z.url({ protocol: /^https?$/ }).max(512))
    .min(1)
    .max(100),
  /** How often: `15m`, `24h`; at least `10s`. */
  every: z.string().max(32),
  /** From the order to the last refusal; default `2s`. */
  bound: z.string().max(32).optional(),
  /** Kill an enforcement point that has confirmed the kill and still admits; default true. */
  quarantine: z.boolean().optional(),
});
export type CreateDrill = z.infer<typeof CreateDrill>;

export const DrillPoint = z.object({
  via: z.string(),
  id: z.string().nullable(),
  name: z.string().nullable(),
  /** `lying`: gave its receipt, and still admits. `unheard`: could not be asked, or never admitted the canaries. */
  verdict: z.enum(['refused', 'late', 'lying', 'admits', 'unheard']),
  refused_after_sent_ms: z.number().nullable(),
  quarantined_by: z.string().nullable(),
});
export const DrillOutcome = z.object({
  at: Timestamp,
  passed: z.boolean(),
  kill_id: z.string().nullable(),
  enforcement_points: z.array(DrillPoint),
  /** Why it could not be carried out. */
  error: z.string().nullable(),
});
export type DrillOutcome = z.infer<typeof DrillOutcome>;

export const Drill = z.object({
  id: Id('drill'),
  via: z.array(z.string()),
  /** Milliseconds. */
  every_ms: z.number().int(),
  bound_ms: z.number().int(),
  quarantine: z.boolean(),
  created_at: Timestamp,
  next_at: Timestamp,
  last: DrillOutcome.nullable(),
});
export type Drill = z.infer<typeof Drill>;
export const DrillQuery = ListQuery;
export const DrillList = ListOf(Drill);
