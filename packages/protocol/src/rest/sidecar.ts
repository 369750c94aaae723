import { z } from 'zod';
import { EpMode } from '../messages/common';

/** `POST /check` of a sidecar. `tool` is `<upstream>/<name>`. */
export const CheckRequest = z.strictObject({
  token: z.string().min(1).max(16_384),
  tool: z.string().min(1).max(256).optional(),
  scope: z.string().min(1).max(256).optional(),
});
export type CheckRequest = z.infer<typeof CheckRequest>;

export const CheckReply = z.discriminatedUnion('decision', [
  z.object({ decision: z.literal('allow'), stale: z.boolean() }),
  z.object({
    decision: z.literal('deny'),
    code: z.string(),
    reason: z.string(),
    kill_id: z.string().optional(),
    terminal: z.boolean().optional(),
    stale: z.boolean(),
  }),
]);
export type CheckReply = z.infer<typeof CheckReply>;

/** `GET /state` of a sidecar. */
export const SidecarState = z.object({
  id: z.string(),
  name: z.string(),
  tenant: z.string(),
  boot_id: z.string(),
  mode: EpMode,
  ready: z.boolean(),
  epoch: z.number(),
  applied: z.number(),
  /** 0 when there is no valid lease. */
  lease_left_ms: z.number(),
  in_flight: z.number().int(),
  stale_admissions: z.number().int(),
  upstreams: z.array(z.object({ name: z.string(), kind: z.string(), url: z.string() })),
});
export type SidecarState = z.infer<typeof SidecarState>;

/** JSON-RPC error code of a refusal on an MCP upstream; `data` is the problem. */
export const MCP_REFUSED = -32003;
