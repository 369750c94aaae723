import { BOOT_SILENCE_MS, type LeaseReply, type Position } from '@sever/protocol';
import { leaseRefusal, LONG_SILENCE_MS, type LeaseFacts } from '../../src/enforcement/lease-rules';
import type { LeaseQuestion } from '../../src/enforcement/lease-rules';
import type { Effect, ReceiptBody } from '../../packages/enforcement/src/machine-events';
import type { ControlPlane } from './control-plane';
import type { Contents } from './database';
import type { Kind, Road } from './network';
import { TENANT } from './population';
import type { Process } from './process';
import type { Page } from './second-road';

type AskedLease = Extract<Effect, { type: 'request_lease' }>;

/** What one replica answers enforcement points: the server's rules, with the model's database in the place of statements. */
export class Answers {
  constructor(
    private readonly plane: ControlPlane,
    /** Runs it after so long, unless the replica has died or the database has gone meanwhile. */
    private readonly later: (milliseconds: number, run: () => void) => void,
  ) {}

  snapshot(from: Process, nonce: string, replaces: string | undefined, road: Road): void {
    const { rules, random, logic } = this.plane.around;
    const { bootId, point } = from;
    const facts = this.plane.database.boots.facts(bootId, point.id);
    if (logic.entryRefusal(facts, { ep: point.id, mode: point.mode }) !== null) return;
    const enter = (): void =>
      this.plane.database.boots.enter(bootId, point.id, point.mode, replaces);
    if (rules.bootIsStoredFirst) enter();
    else this.later(random.between(1_000, 3_000), enter);
    this.later(random.between(0.5, 30), () => {
      const contents = this.contents();
      if (rules.snapshotIsAtomic) return this.sendSnapshot(from, nonce, contents, road);
      // The place is read a moment after what is in force there.
      this.later(random.between(0, 1_500), () =>
        this.sendSnapshot(from, nonce, { ...this.contents(), items: contents.items }, road),
      );
    });
  }

  range(from: Process, epoch: number, first: number, to: number, road: Road): void {
    const { database, around } = this.plane;
    const kept = database.kept(epoch, first, to).map((signed) => ({
      ...{ seq: signed.entry.seq, signed },
    }));
    const range = around.logic.rangeAnswer({ epoch, from: first }, database.head, kept);
    const entries = range.entries.map(({ signed }) => signed);
    this.reply(from, road, 'range', () => from.answerRange(epoch, entries, range.compacted));
  }

  /** What is told of the stream to whoever knows everything up to a place; only the place itself to whoever knows none. */
  page(after: Position | undefined, heard: number): Page {
    const { database, around, announced, openEmergencies } = this.plane;
    const place = { epoch: database.head.epoch, seq: database.head.seq };
    const emergencies = announced.slice(heard).filter(({ kill_id: id }) => openEmergencies.has(id));
    const told = { heard: announced.length, emergencies, entries: [], compacted: false };
    if (after === undefined || !database.up) return { ...told, next: after ?? place };
    const kept = database.kept(after.epoch, after.seq + 1, Infinity).map((signed) => ({
      ...{ seq: signed.entry.seq, signed },
    }));
    const { head, entries, compacted } = around.logic.newsAnswer(after, database.head, kept);
    const last = entries.at(-1);
    const next = compacted ? head : { ...after, seq: last?.seq ?? after.seq };
    return { ...told, next, compacted, entries: entries.map(({ signed }) => signed) };
  }

  evidenceTaken(from: Process, road: Road): void {
    const { epoch } = this.plane.database.head;
    this.reply(from, road, 'evidence', () =>
      from.receive({ type: 'evidence_taken', epoch }, false),
    );
  }

  /** @param remembered head of an earlier moment, for a control plane that does not read it anew */
  lease(from: Process, asked: AskedLease, remembered: Partial<LeaseFacts>, road: Road): void {
    const { random } = this.plane.around;
    // Read after the request came, and on its way a moment later.
    this.later(random.between(0.2, 15), () => {
      const question = this.questionOf(from, asked);
      const facts = this.leaseFacts(question);
      this.later(random.between(0.2, 15), () => {
        const reply = this.decideLease(question, facts, remembered);
        this.reply(from, road, 'lease', (replayed) => {
          // Only its own answer says that the broker is well.
          if (road === 'nats' && !replayed) from.road.health.answered(from.road.now);
          from.point.answerLease(from, reply, replayed);
        });
      });
    });
  }

  receipt(from: Process, body: ReceiptBody): void {
    const { database, around } = this.plane;
    const { boots } = database;
    const { epoch, applied: seq, digest } = body;
    const facts = {
      ...{ epoch: database.head.epoch, head: database.head.seq },
      known: boots.get(from.bootId)?.ep === from.point.id,
      digest: database.digestAt({ epoch, seq }),
    };
    const verdict = around.logic.judgeReceipt({ epoch, applied: seq, digest }, facts);
    if (!verdict.holds) {
      if (verdict.alarm !== null)
        this.plane.alarms.push(`${verdict.alarm.kind}: ${from.bootId} ${verdict.alarm.detail}`);
      return;
    }
    const receipt = {
      ...{ epoch, seq, nacks: body.nacks, heldMs: 0, jws: '', replica: '' },
      ...{ receivedAt: new Date(database.now), receivedMonoMs: around.time.now },
    };
    for (const boot of boots.table.boots.values()) {
      const counts = around.rules.receiptCountsForItsBoot
        ? boot.bootId === from.bootId
        : boot.ep === from.point.id;
      if (counts) boots.addReceipt(boot.bootId, receipt);
    }
    this.note(from);
  }

  leave(from: Process): void {
    this.plane.database.boots.leave(from.bootId);
  }

  retireSilent(): void {
    this.plane.database.boots.retireSilent(BOOT_SILENCE_MS);
  }

  private decideLease(
    question: LeaseQuestion,
    facts: LeaseFacts,
    remembered: Partial<LeaseFacts>,
  ): LeaseReply {
    const { logic } = this.plane.around;
    const { request } = question;
    const verdict = logic.judgeLease(request, facts);
    if (verdict.refused !== null) {
      if (verdict.divergence !== null)
        this.plane.alarms.push(`divergence: ${request.boot_id} ${verdict.divergence}`);
      return leaseRefusal(question, verdict.refused);
    }
    if (verdict.renewFirst && !this.plane.database.boots.renew(request.boot_id))
      return leaseRefusal(question, 'boot_unknown');
    if (!this.plane.losesNotes) this.plane.database.boots.note(request.boot_id);
    return logic.leaseGrant(question, { ...facts, ...remembered });
  }

  private leaseFacts({ ep, request }: LeaseQuestion): LeaseFacts {
    const { database, policyMs } = this.plane;
    const { boots, head } = database;
    const boot = boots.get(request.boot_id);
    const lives = boot?.ep === ep && boot.until === undefined && !boot.left;
    return {
      ...{ epoch: head.epoch, head: head.seq, validMs: policyMs, now: database.now },
      revoked: boots.isRevoked(ep),
      livingMode: lives ? boot.mode : null,
      longSilent: boot !== undefined && boot.lastSeenAt < database.now - LONG_SILENCE_MS,
      digest: database.digestAt({ epoch: request.epoch, seq: request.applied }),
    };
  }

  private questionOf({ bootId, point }: Process, asked: AskedLease): LeaseQuestion {
    const { nonce, epoch, applied, digest } = asked;
    const { mode } = point;
    return {
      ...{ tenant: TENANT, ep: point.id },
      request: {
        ...{ type: 'lease-request', v: 1, nonce, boot_id: bootId, mode, epoch, applied, digest },
      },
    };
  }

  private note({ bootId }: Process): void {
    if (!this.plane.losesNotes) this.plane.database.boots.note(bootId);
  }

  private sendSnapshot(
    from: Process,
    nonce: string,
    { items, ...place }: Contents,
    road: Road,
  ): void {
    const manifest = {
      ...({ type: 'snapshot', v: 1, tenant: TENANT, items: items.length } as const),
      ...{ boot_id: from.bootId, nonce, now: this.plane.database.now, chunks: [], ...place },
    };
    this.reply(from, road, 'snapshot', (replayed) =>
      from.point.answerSnapshot(from, { type: 'snapshot', manifest, items }, replayed),
    );
  }

  private contents(): Contents {
    return this.plane.database.contents(this.plane.openEmergencies);
  }

  private reply(
    { point }: Process,
    road: Road,
    kind: Kind,
    deliver: (replayed: boolean) => void,
  ): void {
    const link = road === 'http' ? point.http : point.link;
    this.plane.around.network.toEnforcementPoint(link, kind, deliver, road);
  }
}
