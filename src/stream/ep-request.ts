import { isOwnInbox, requestSender } from '@sever/protocol';
import type { z } from 'zod';
import type { BrokerMessage } from '../broker/broker';

/** An enforcement point, as the broker's permissions or its access key prove it. */
export interface EpIdentity {
  readonly tenant: string;
  readonly ep: string;
}

/** Who asks over the broker, and where the answer may go. */
export interface EpRequestFrom extends EpIdentity {
  readonly reply: string;
}

/**
 * `null` when an answer would have to go anywhere but into the asker's own inbox: whoever chooses the reply subject
 * would otherwise choose what the control plane publishes where.
 */
export function requestFrom({ subject, reply }: BrokerMessage): EpRequestFrom | null {
  const sender = requestSender(subject);
  if (sender === null || reply === undefined) return null;
  return isOwnInbox(reply, sender.tenant, sender.ep) ? { ...sender, reply } : null;
}

/** A message from outside in its declared shape, or `null`; no message throws. */
export function parseMessage<T extends z.ZodType>(
  schema: T,
  data: Uint8Array,
  maxBytes: number,
): z.infer<T> | null {
  if (data.length > maxBytes) return null;
  try {
    const parsed = schema.safeParse(JSON.parse(Buffer.from(data).toString()));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}
