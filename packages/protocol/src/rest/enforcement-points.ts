import { z } from 'zod';
import { AbortAbility, EpMode, PublicJwk } from '../messages/common';
import { Id, ListOf, ListQuery, Timestamp } from './common';

export const EP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Together with the longest names they fit into a request. */
export const MAX_SERVED_TOOLS = 200;

export const EnrolRequest = z.strictObject({
  name: z.string().regex(EP_NAME),
  mode: EpMode,
  abort: AbortAbility,
  public_key: PublicJwk,
  /** NKey of a NATS user (`U…`); its seed never leaves the enforcement point. */
  nats_public_key: z.string().regex(/^U[A-Z2-7]{55}$/),
  proof: z.string().max(4_096),
});
export type EnrolRequest = z.infer<typeof EnrolRequest>;

export const NatsAccess = z.object({ urls: z.array(z.string()), jwt: z.string() });
export const EnrolReply = z.object({
  id: Id('enforcementPoint'),
  tenant: Id('tenant'),
  enrolment_key_id: z.string(),
  /** Bearer for the HTTP road. */
  access_key: z.string(),
  /** 32 bytes, base64url: the HMAC key of this enforcement point's lease replies. */
  lease_key: z.string(),
  nats: NatsAccess,
  stream_keys: z.array(PublicJwk),
  token_keys: z.array(PublicJwk),
  /** Keys whose halts count; control planes before this release do not send them. */
  halt_keys: z.array(PublicJwk).default([]),
  issuer: z.string(),
});
export type EnrolReply = z.infer<typeof EnrolReply>;

/** What an enforcement point stands before: `PUT /v1/enforcement-points/self/serves`. It says nothing of what is allowed. */
export const Serves = z.strictObject({
  upstreams: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[a-z0-9-]{1,32}$/),
        kind: z.string().regex(/^[a-z-]{1,32}$/),
        mode: EpMode,
      }),
    )
    .max(256),
  /** `<upstream>/<name>`, as far as they are known. */
  tools: z.array(z.string().min(1).max(256)).max(MAX_SERVED_TOOLS),
});
export type Serves = z.infer<typeof Serves>;

export const EnforcementPointInfo = z.object({
  id: Id('enforcementPoint'),
  name: z.string(),
  mode: EpMode,
  abort: AbortAbility,
  created_at: Timestamp,
  /** As it said last; `null` while it has not. */
  serves: Serves.nullable().default(null),
  /** Living boots and how far each has come. */
  boots: z.array(
    z.object({
      boot_id: z.string(),
      mode: EpMode,
      since: z.string(),
      applied: z.string().nullable(),
      last_seen_at: Timestamp.nullable(),
      state: z.enum(['live', 'silent', 'left']),
      /** Calls let through without a valid lease since this process began (best_effort). */
      stale_admissions: z.number().int().default(0),
      /** Entries of its newest receipt that it could not apply; it denies what they name. */
      nacks: z.array(z.object({ seq: z.number().int(), error: z.string() })).default([]),
    }),
  ),
});
export type EnforcementPointInfo = z.infer<typeof EnforcementPointInfo>;
export const EnforcementPointQuery = ListQuery;
export const EnforcementPointList = ListOf(EnforcementPointInfo);

export const EnforcementPointSelf = z.object({
  id: Id('enforcementPoint'),
  tenant: Id('tenant'),
  name: z.string(),
  mode: EpMode,
  nats: NatsAccess,
  stream_keys: z.array(PublicJwk),
  token_keys: z.array(PublicJwk),
  halt_keys: z.array(PublicJwk).default([]),
  issuer: z.string(),
});
export type EnforcementPointSelf = z.infer<typeof EnforcementPointSelf>;
