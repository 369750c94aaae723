import { z } from 'zod';
import type { Order } from '../order';

/** How long an announcement means anything. */
export const EMERGENCY_LIFE_MS = 24 * 3_600_000;

/**
 * An order that was announced before it could be committed, and everything that is needed to commit it later, by whichever
 * replica.
 */
export interface EmergencyOrder {
  readonly tenant: string;
  readonly order: Order;
  /** On the wire: what enforcement points deny. */
  readonly subjects: readonly string[];
  readonly warnings: readonly string[];
  /** Milliseconds since the Unix epoch on the clock of the replica that took it. */
  readonly issuedAt: number;
  readonly notAfter: number;
}

/** One that this process keeps until it is committed or refused. */
export interface OpenEmergency extends EmergencyOrder {
  /** As it travels; absent until it has been signed. */
  jws?: string;
  journaled: boolean;
  /** The broker had a connection when it was first sent. */
  published: boolean;
  /** Taken by this process, not heard from another one. */
  readonly own: boolean;
  /** The transaction that was begun before, while its outcome is not known. */
  pending?: Promise<unknown>;
}

/** What was written by a replica of the same version or another; more is not asked of it than what is used here. */
export const StoredEmergency = z.object({
  tenant: z.string(),
  order: z.custom<Order>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      typeof (value as Order).id === 'string' &&
      Array.isArray((value as Order).subjects),
  ),
  subjects: z.array(z.string()).min(1),
  warnings: z.array(z.string()),
  issuedAt: z.number(),
  notAfter: z.number(),
});

export function storedForm(emergency: EmergencyOrder): EmergencyOrder {
  const { tenant, order, subjects, warnings, issuedAt, notAfter } = emergency;
  return { tenant, order, subjects, warnings, issuedAt, notAfter };
}
