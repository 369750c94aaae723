import { z } from 'zod';
import { EpMode } from '../messages/common';
import { Timestamp } from './common';

/** `POST /check` of a sidecar. `tool` is `<upstream>/<name>`. */
export const CheckRequest = z.strictObject({
  token: z.string().min(1).max(16_384),
  tool: z.string().min(1).max(256).optional(),
  scope: z.string().min(1).max(256).optional(),
});
export type CheckRequest = z.infer<typeof CheckRequest>;

export const CheckReply = z.discriminatedUnion('decision', [
  z.object({
    decision: z.literal('allow'),
    stale: z.boolean(),
    /** Let through because the upstream is only observed: the code with which it would have been refused. */
    would_deny: z.string().optional(),
  }),
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

/** One halt that this enforcement point enforces. */
export const HaltState = z.object({
  kill_id: z.string(),
  /** Those that are still refused on the strength of it. */
  subjects: z.array(z.string()),
  reason: z.string(),
  /** Milliseconds since the Unix epoch, as the signer wrote them. */
  issued_at: z.number(),
  not_after: z.number(),
  /** Thumbprint of the halt key. */
  kid: z.string(),
  /** The control plane has it in its records. */
  committed: z.boolean(),
});
export type HaltState = z.infer<typeof HaltState>;

/** `POST /halt` of a sidecar; the body is the halt, a JWS. */
export const HaltReply = z.object({
  kill_id: z.string(),
  /** `enforced`: refused from now on; `known`: it was before. */
  state: z.enum(['enforced', 'known']),
  /** Written down, so that a restart does not forget it. */
  kept: z.boolean(),
});
export type HaltReply = z.infer<typeof HaltReply>;

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
  /** Kill orders that came without the control plane and are still open. */
  halts: z.array(HaltState).default([]),
  /** Records of calls since the start; `waiting` in memory, `spooled` on the disk. */
  calls: z
    .object({
      sent: z.number().int(),
      waiting: z.number().int(),
      spooled: z.number().int(),
      dropped: z.record(z.string(), z.number().int()),
    })
    .optional(),
  /** Who calls what is only observed and would be refused; at most 1,000, those that called last. */
  ungoverned: z
    .array(
      z.object({
        upstream: z.string(),
        /** `agt_…`, or the address and the program of a caller that is not known. */
        caller: z.string(),
        code: z.string(),
        calls: z.number().int(),
        first_at: Timestamp,
        last_at: Timestamp,
      }),
    )
    .optional(),
  upstreams: z.array(z.object({ name: z.string(), kind: z.string(), url: z.string() })),
});
export type SidecarState = z.infer<typeof SidecarState>;

/** JSON-RPC error code of a refusal on an MCP upstream; `data` is the problem. */
export const MCP_REFUSED = -32003;
