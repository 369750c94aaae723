import { z } from 'zod';
import { PublicJwk } from '../messages/common';
import { Id, ListOf, ListQuery, Timestamp } from './common';

/** The public half alone: a body that holds the private member `d` is refused as an unknown field. */
export const CreateHaltKey = z.strictObject({
  name: z.string().min(1).max(128),
  public_key: PublicJwk.strict(),
});
export type CreateHaltKey = z.infer<typeof CreateHaltKey>;
export const HaltKeyInfo = z.object({
  id: Id('haltKey'),
  name: z.string(),
  /** RFC 7638 thumbprint; a halt names its key by it. */
  kid: z.string(),
  public_key: PublicJwk,
  created_at: Timestamp,
  revoked_at: Timestamp.nullable(),
});
export type HaltKeyInfo = z.infer<typeof HaltKeyInfo>;
export const HaltKeyList = ListOf(HaltKeyInfo);
export const HaltKeyQuery = ListQuery;
