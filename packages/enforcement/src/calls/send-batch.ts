import { CallRecord, CallReply, typOf, type CallBatch } from '@sever/protocol';
import type { Signer } from '../signer';
import type { Transport } from '../transport';
import { HttpRefusedError } from '../transports/http-road';
import type { Logger } from '../types';

export interface SenderParts {
  readonly tenant: string;
  readonly ep: string;
  readonly bootId: string;
  readonly signer: Pick<Signer, 'sign'>;
  readonly transport: Pick<Transport, 'sendCalls'>;
  readonly logger: Logger;
}

/** `later`: nobody has taken it, and somebody may yet. `never`: nobody will. */
export interface BatchOutcome {
  readonly verdict: 'taken' | 'later' | 'never';
  /** Records of the batch that are none, and were left out. */
  readonly malformed: number;
  readonly records: number;
}

/** Signs and sends one batch, and waits for the answer. Never rejects. */
export async function sendBatch(
  lines: readonly string[],
  { tenant, ep, bootId, signer, transport, logger }: SenderParts,
): Promise<BatchOutcome> {
  // Lines may come from the disk: the end of one that a crash cut short is no record.
  const records = lines.flatMap((line) => readRecord(line) ?? []);
  const sent = { malformed: lines.length - records.length, records: records.length };
  if (records.length === 0) return { verdict: 'taken', ...sent };
  try {
    const batch: CallBatch = { type: 'call', v: 1, tenant, ep, boot_id: bootId, records };
    const bytes = await transport.sendCalls(await signer.sign(typOf('call'), batch));
    const reply = CallReply.parse(JSON.parse(Buffer.from(bytes).toString()));
    if (reply.type === 'calls-taken') return { verdict: 'taken', ...sent };
    const { code, detail } = reply;
    const passes = code === 'busy' || code === 'no_space';
    logger[passes ? 'warn' : 'error']({ code, detail }, 'call records were not taken');
    return { verdict: passes ? 'later' : 'never', ...sent };
  } catch (error) {
    if (error instanceof HttpRefusedError && (error.status === 400 || error.status === 413))
      return { verdict: 'never', ...sent };
    // Silence is nothing to be told of each time: what waits is shown, and the lease tells of an outage.
    return { verdict: 'later', ...sent };
  }
}

function readRecord(line: string): CallRecord | undefined {
  try {
    return CallRecord.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
