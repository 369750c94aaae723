import { EvidenceReply, MAX_MESSAGE_BYTES, typOf, type Evidence } from '@sever/protocol';
import type { KeyDirectory } from './key-directory';
import type { Effect, MachineEvent } from './machine-events';
import type { Transport } from './transport';
import type { Logger } from './types';

const MOST_ENTRIES = 500;
/** Signed entries grow by a third in the message that carries them, and once more in its signature. */
const MOST_BYTES = MAX_MESSAGE_BYTES / 2;

export interface EvidencePorts {
  readonly tenant: string;
  readonly ep: string;
  readonly bootId: string;
  readonly keys: Pick<KeyDirectory, 'signer'>;
  readonly transport: Pick<Transport, 'requestEvidence'>;
  readonly logger: Logger;
}

/** Shows it in as many messages as it takes, in order. @returns what the machine is told; never rejects */
export async function showEvidence(
  { epoch, applied, entries, manifest }: Extract<Effect, { type: 'show_evidence' }>,
  { tenant, ep, bootId, keys, transport, logger }: EvidencePorts,
): Promise<MachineEvent> {
  try {
    let reached = 0;
    for (const [at, page] of pages(entries).entries()) {
      const evidence: Evidence = {
        ...{ type: 'evidence', v: 1, tenant, ep, boot_id: bootId, epoch, applied },
        ...(at === 0 && manifest !== undefined && { manifest }),
        entries: page,
      };
      const bytes = await transport.requestEvidence(
        await keys.signer.sign(typOf('evidence'), evidence),
      );
      const reply = EvidenceReply.parse(JSON.parse(Buffer.from(bytes).toString()));
      reached = Math.max(reached, reply.epoch);
    }
    return { type: 'evidence_taken', epoch: reached };
  } catch (error) {
    logger.warn({ error: String(error) }, 'the control plane did not take the evidence');
    return { type: 'evidence_failed' };
  }
}

/** At least one, though it be empty: the manifest is evidence too. */
function pages(entries: readonly string[]): string[][] {
  const all: string[][] = [[]];
  let bytes = 0;
  for (const entry of entries) {
    let open = all.at(-1) as string[];
    if (open.length > 0 && (open.length === MOST_ENTRIES || bytes + entry.length > MOST_BYTES)) {
      all.push((open = []));
      bytes = 0;
    }
    open.push(entry);
    bytes += entry.length;
  }
  return all;
}
