import { z } from 'zod';
import { ListOf, ListQuery, Timestamp } from './common';

/** Roles that an API key can hold. `agent` and `enforcement_point` come from their own credentials. */
export const KEY_ROLES = ['responder', 'lead', 'auditor', 'service', 'playbook', 'admin'] as const;
export const Role = z.enum(KEY_ROLES);
export type Role = z.infer<typeof Role>;

export const CreateApiKey = z.strictObject({
  role: Role,
  name: z.string().min(1).max(128),
  /** Seconds; default 90 days. */
  expires_in: z
    .number()
    .int()
    .min(60)
    .max(366 * 86_400)
    .optional(),
});
export type CreateApiKey = z.infer<typeof CreateApiKey>;
export const ApiKeyCreated = z.object({
  id: z.string(),
  role: Role,
  name: z.string(),
  key: z.string(),
  expires_at: Timestamp,
});
export type ApiKeyCreated = z.infer<typeof ApiKeyCreated>;
export const ApiKeyInfo = z.object({
  id: z.string(),
  /** `bootstrap` is the first key of a tenant, which holds every role. */
  role: z.enum([...KEY_ROLES, 'bootstrap']),
  name: z.string(),
  created_at: Timestamp,
  expires_at: Timestamp,
  last_used_at: Timestamp.nullable(),
  revoked_at: Timestamp.nullable(),
});
export type ApiKeyInfo = z.infer<typeof ApiKeyInfo>;
export const ApiKeyList = ListOf(ApiKeyInfo);

/** "Same form": the role of an enrolment key is always `enforcement_point`, and may be left out. */
export const CreateEnrolmentKey = z.strictObject({
  role: z.literal('enforcement_point').optional(),
  name: z.string().min(1).max(128),
  expires_in: z
    .number()
    .int()
    .min(60)
    .max(366 * 86_400)
    .optional(),
});
export type CreateEnrolmentKey = z.infer<typeof CreateEnrolmentKey>;
export const EnrolmentKeyCreated = ApiKeyCreated.extend({ role: z.literal('enforcement_point') });
export type EnrolmentKeyCreated = z.infer<typeof EnrolmentKeyCreated>;
export const EnrolmentKeyInfo = ApiKeyInfo.extend({ role: z.literal('enforcement_point') });
export type EnrolmentKeyInfo = z.infer<typeof EnrolmentKeyInfo>;
export const EnrolmentKeyList = ListOf(EnrolmentKeyInfo);
export const KeyQuery = ListQuery;
