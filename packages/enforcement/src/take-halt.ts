import type { EmergencyKeeper } from './emergency-keeper';
import type { Machine } from './machine';
import type { MachineEvent, SignedHalt } from './machine-events';
import type { HaltOutcome } from './types';

/** Has a halt whose signature holds enforced, and says what became of it once the disk has it. */
export async function takeHalt(
  signed: SignedHalt,
  { machine, keeper }: { readonly machine: Machine; readonly keeper: EmergencyKeeper },
  handle: (event: MachineEvent) => void,
): Promise<HaltOutcome> {
  const { kill_id: killId, not_after: notAfter } = signed.halt;
  if (notAfter < machine.signedNow) return { outcome: 'refused', why: 'expired' };
  const known = machine.emergencies.isOpen(killId);
  handle({ type: 'halt', ...signed });
  if (machine.emergencies.isResolved(killId)) return { outcome: 'refused', why: 'over' };
  const fresh = !known && machine.emergencies.isOpen(killId);
  return { outcome: fresh ? 'enforced' : 'known', killId, kept: await keeper.kept() };
}
