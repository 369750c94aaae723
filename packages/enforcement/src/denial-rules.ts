import {
  FLOOR_KEEP_MS,
  knownOp,
  type DenialView,
  type Emergency,
  type Entry,
  type KnownOp,
} from '@sever/protocol';
import type { Effect } from './machine-events';

const REMEMBERED_ORDERS = 10_000;
const MAX_NACKS = 1_000;

/** What an entry does to the view. Denials merge without order; a lift and a new key wait for their turn. */
export class DenialRules {
  private nacked: { seq: number; error: string }[] = [];
  /** `kill_id subject` of orders that are in force, so that a late or replayed emergency does not reopen them. */
  private readonly inForce = new Set<string>();

  constructor(private readonly view: DenialView) {}

  /** The part of an entry that is safe out of order: to deny early is harmless. */
  deny(entry: Entry): Effect[] {
    const op = knownOp(entry);
    if (op === null) return this.denyUnknown(entry);
    switch (op.op) {
      case 'floor':
        this.view.raiseFloor(op.subject, {
          generation: op.generation,
          killId: entry.kill_id,
          keepUntil: keepUntil(op.subject, entry.at),
        });
        return this.denied(entry, op.subject);
      case 'suspend':
        this.view.suspend(op.id, {
          subject: op.subject,
          level: op.level,
          epoch: entry.epoch,
          seq: entry.seq,
        });
        return this.denied(entry, op.subject);
      case 'key':
        return op.state === 'dead' ? this.denyKey(op, entry.kill_id) : [];
      case 'lift':
        return [];
    }
  }

  /** All of an entry, in its turn. */
  apply(entry: Entry): Effect[] {
    const op = knownOp(entry);
    if (op === null) {
      const name = typeof entry.op.op === 'string' ? entry.op.op : 'unnamed';
      this.nacked.push({ seq: entry.seq, error: `unknown op ${JSON.stringify(name)}` });
      if (this.nacked.length > MAX_NACKS) this.nacked.shift();
    }
    if (op?.op === 'lift') this.view.lift(op.id);
    if (op?.op === 'key' && op.state !== 'dead') return [keyEffect(op)];
    return this.deny(entry);
  }

  /** A dead token key takes its tokens with it, in flight too. Dead keys never return, so this denial never closes. */
  denyKey(op: Pick<KnownOp & { op: 'key' }, 'purpose' | 'kid'>, killId: string): Effect[] {
    const { purpose, kid } = op;
    const effects: Effect[] = [{ type: 'key', purpose, kid, state: 'dead', jwk: null }];
    if (purpose === 'stream') return effects;
    this.view.stopInEmergency(killId, `signing_key:${kid}`);
    return [...effects, { type: 'abort', subjects: [`signing_key:${kid}`] }];
  }

  emergency({ kill_id: killId, subjects }: Emergency): Effect[] {
    const open = subjects.filter((subject) => !this.inForce.has(`${killId} ${subject}`));
    for (const subject of open) this.view.stopInEmergency(killId, subject);
    return open.length === 0 ? [] : [{ type: 'abort', subjects: open }];
  }

  nacks(): { seq: number; error: string }[] {
    return [...this.nacked];
  }

  forgetNacks(): void {
    this.nacked = [];
  }

  /** A newer control plane's op must not be read as "nothing happened"; its id, if it has one, lets it be lifted. */
  private denyUnknown(entry: Entry): Effect[] {
    const { subject, id } = entry.op as { subject?: unknown; id?: unknown };
    if (typeof subject !== 'string') return [];
    this.view.suspend(typeof id === 'string' ? id : entry.kill_id, {
      subject,
      epoch: entry.epoch,
      seq: entry.seq,
    });
    return this.denied(entry, subject);
  }

  /** An emergency closes for one subject only once that subject's own denial is in force. */
  private denied(entry: Entry, subject: string): Effect[] {
    this.view.closeEmergency(entry.kill_id, subject);
    this.inForce.add(`${entry.kill_id} ${subject}`);
    if (this.inForce.size > REMEMBERED_ORDERS)
      this.inForce.delete(this.inForce.values().next().value ?? '');
    return [{ type: 'abort', subjects: [subject] }];
  }
}

/** No token outlives a floor of lineage; a signing key's denial has no such end. */
function keepUntil(subject: string, at: number): number {
  return subject.startsWith('signing_key:') ? Number.MAX_SAFE_INTEGER : at + FLOOR_KEEP_MS;
}

function keyEffect(op: Extract<KnownOp, { op: 'key' }>): Effect {
  return {
    type: 'key',
    purpose: op.purpose,
    kid: op.kid,
    state: op.state,
    jwk: op.jwk ?? null,
  };
}
