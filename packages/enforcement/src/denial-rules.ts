import {
  FLOOR_KEEP_MS,
  knownOp,
  type DenialView,
  type Emergency,
  type Entry,
  type KnownOp,
} from '@sever/protocol';
import type { EmergencyBook } from './emergency-book';
import type { Effect } from './machine-events';

const MAX_NACKS = 1_000;

/** What an entry does to the view. Denials merge without order; a lift and a new key wait for their turn. */
export class DenialRules {
  private nacked: { seq: number; error: string }[] = [];

  constructor(
    private readonly view: DenialView,
    private readonly emergencies: EmergencyBook,
  ) {}

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
          ...(op.in_flight === 'drain' && { cutBelow: 0 }),
        });
        return this.denied(entry, op.subject);
      case 'suspend':
        this.view.suspend(op.id, {
          subject: op.subject,
          level: op.level,
          epoch: entry.epoch,
          seq: entry.seq,
          ...(op.in_flight === 'drain' && { drain: true }),
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
    if (purpose !== 'token') return effects;
    this.view.stopInEmergency(killId, `signing_key:${kid}`);
    return [...effects, { type: 'abort', subjects: [`signing_key:${kid}`] }];
  }

  /** What an emergency or a halt stops anew. */
  emergency(order: Pick<Emergency, 'kill_id' | 'subjects' | 'not_after'>): Effect[] {
    const subjects = this.emergencies.announce(order);
    return subjects.length === 0 ? [] : [{ type: 'abort', subjects }];
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
    this.emergencies.applied(entry.kill_id, subject);
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
