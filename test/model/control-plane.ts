import { knownOp, type Emergency, type Entry, type Halt, type Position } from '@sever/protocol';
import type { SignedEntry } from '../../packages/enforcement/src/machine-events';
import { Database, WALL } from './database';
import type { EnforcementPoint } from './enforcement-point';
import { History, type Order } from './history';
import type { Network } from './network';
import { ANCESTORS, Population, TENANT } from './population';
import type { Randomness } from './randomness';
import type { ControlPlaneLogic } from './logic';
import { ModelReplica } from './replica';
import type { ControlPlaneRules } from './rules';
import { announceKey, keyIn } from './signing-keys';
import type { VirtualTime } from './virtual-time';

const EMERGENCY_LIFE_MS = 24 * 3_600_000;
const HALT_LIFE_MS = 300 * EMERGENCY_LIFE_MS;

export interface Surroundings {
  readonly time: VirtualTime;
  readonly random: Randomness;
  readonly network: Network;
  readonly points: readonly EnforcementPoint[];
  readonly rules: ControlPlaneRules;
  readonly logic: ControlPlaneLogic;
}

/** Two replicas on one database: who orders what, and what is written down when. */
export class ControlPlane {
  readonly database: Database;
  readonly history = new History();
  readonly population: Population;
  readonly replicas: readonly ModelReplica[];
  /** Journals of the replicas: emergencies that are not committed and not refused. */
  readonly openEmergencies = new Map<string, string>();
  /** All of them, in their order. */
  readonly announced: Emergency[] = [];
  policyMs = 10_000;
  private longestPolicyMs = 10_000;
  /** True time at which this epoch was opened; the first one has no leases from before it. */
  epochOpenedAt = -Infinity;
  /** Entries that a broker which stood has been handed. */
  readonly rung = new Set<string>();
  /** What a replica has complained of. */
  readonly alarms: string[] = [];
  /** When boots were last heard is not written down. */
  losesNotes = false;
  /** Nobody but enforcement points can tell that the database went back: they are right to complain. */
  wentBackUnnoticed = false;
  private ids = 0;

  constructor(readonly around: Surroundings) {
    this.database = new Database(() => around.time.now);
    this.population = new Population(() => this.database.now);
    this.replicas = [0, 1].map((n) => new ModelReplica(n, this));
  }

  start(): void {
    for (const replica of this.replicas) replica.start();
  }

  living(): ModelReplica[] {
    return this.replicas.filter((replica) => replica.alive);
  }

  setPolicy(validMs: number): void {
    if (!this.database.up) return;
    this.policyMs = validMs;
    this.longestPolicyMs = Math.max(this.longestPolicyMs, validMs);
  }

  kill(agent: string, dies = false): void {
    this.by(dies, () => this.commitKill(`agent:${agent}`, this.newId()));
  }

  /** A kill that lets what runs come to its end. */
  drain(agent: string): void {
    this.by(false, () => this.commitKill(`agent:${agent}`, this.newId(), true));
  }

  /** A halt, brought to one enforcement point alone. It is in force there until it is committed. */
  halt(agent: string, point: EnforcementPoint): Halt {
    const [killId, subject] = [this.newId(), `agent:${agent}`];
    const now = WALL + Math.floor(this.around.time.now);
    const halt: Halt = {
      ...{ type: 'halt', v: 1, tenant: TENANT, kill_id: killId, subjects: [subject] },
      ...{ reason: 'a test', issued_at: now, not_after: now + HALT_LIFE_MS },
    };
    this.history.emergencies.push({ killId, subject, closed: false, refused: false });
    this.bring(halt, point);
    return halt;
  }

  bring(halt: Halt, point: EnforcementPoint): void {
    point.hear({ type: 'halt', halt, jws: `jws of ${halt.kill_id}`, kid: 'kid' }, false);
  }

  commitHalt({ kill_id: killId, subjects }: Halt): void {
    for (const one of this.history.emergencies) if (one.killId === killId) one.closed = true;
    this.by(false, () => subjects.flatMap((subject) => this.commitKill(subject, killId)));
  }

  suspend(agent: string, op: 'suspend' | 'quarantine' = 'suspend', dies = false): void {
    this.by(dies, () => {
      const [id, subject] = [this.newId(), `agent:${agent}`];
      const signed = this.database.suspend(subject, id, op);
      this.record(signed, op === 'suspend' ? 'suspend' : 'unknown_op', subject, Infinity);
      return [signed];
    });
  }

  /** Lifts the oldest suspension that stands. */
  lift(dies = false): void {
    const standing = this.history.orders.find(
      (order) => order.kind !== 'kill' && !order.lost && !order.lifted,
    );
    if (standing !== undefined) this.by(dies, () => [this.commitLift(standing.killId)]);
  }

  /** What the old generation minted stays dead. */
  reinstate(agent: string): void {
    if (!this.database.up) return;
    this.raiseAgain(`agent:${agent}`);
    this.mint(agent);
  }

  /** Of an enforcement point: one at a time, so that somebody is left to contain anything. */
  killPoint(ep: string, dies = false): void {
    if (this.around.points.some(({ id }) => this.database.boots.isRevoked(id))) return;
    this.by(dies, () => this.commitPointKill(ep, this.newId()));
  }

  /** Ends every kill of an enforcement point, as the control plane insists; one that a restore lost may have come back. */
  reinstatePoint(): void {
    const { database, around } = this;
    const [ep] = database.boots.table.revoked.keys();
    if (ep === undefined) return;
    this.by(false, () => {
      const kills = [...database.standing()].filter(
        ([, subject]) => subject === `enforcement_point:${ep}`,
      );
      database.boots.reinstate(ep, around.rules.reinstatedPointsReturn);
      return kills.map(([killId]) => this.commitLift(killId));
    });
  }

  /** Of the key that signs tokens now; whoever held one needs another, of the key that was announced for this. */
  killKey(dies = false): void {
    const kid = keyIn(this.database.keys, 'live');
    if (kid === undefined || keyIn(this.database.keys, 'next') === undefined) return;
    this.by(dies, () => this.commitKeyKill(kid, this.newId()));
    if (!this.database.up) return;
    for (const agent of Object.keys(ANCESTORS)) this.mint(agent);
  }

  /** After the kill of a key: the next one can be killed again. */
  announceKey(dies = false): void {
    this.by(dies, () => {
      const op = announceKey(this.database.keys, `key_${this.newId()}`);
      if (op === null || !this.around.rules.keysAreAnnounced) return [];
      const signed = this.database.append(op, this.newId());
      this.history.place(signed.entry, this.database.digest);
      return [signed];
    });
  }

  /** Gives a stopped agent a living token, its ancestors' generations included. */
  revive(agent: string): void {
    const newest = this.population.newest(agent);
    if (!this.database.up || !this.history.isStopped(newest.lineage)) return;
    for (const [subject] of newest.lineage) this.raiseAgain(subject);
    this.mint(agent);
  }

  /** A kill while the database is down: announced at once, committed or refused once it is back. */
  emergency(agent: string): void {
    const replica = this.around.random.pick(this.living());
    if (this.database.up) return this.kill(agent);
    if (replica === undefined || !this.around.network.brokerUp) return;
    const [killId, subject] = [this.newId(), `agent:${agent}`];
    this.openEmergencies.set(killId, subject);
    this.history.emergencies.push({ killId, subject, closed: false, refused: false });
    const now = WALL + Math.floor(this.around.time.now);
    const emergency: Emergency = {
      ...{ type: 'emergency', v: 1, tenant: TENANT, kill_id: killId, subjects: [subject] },
      ...{ issued_at: now, not_after: now + EMERGENCY_LIFE_MS },
    };
    this.announced.push(emergency);
    replica.broadcast('emergency', (point, replayed) =>
      point.hear({ type: 'emergency', emergency }, replayed),
    );
  }

  databaseIsBack(refuseEmergencies: boolean): void {
    this.database.up = true;
    for (const { relay } of this.living()) relay.databaseIsBack();
    const replica = this.living()[0] ?? this.replicas[0];
    for (const [killId, subject] of [...this.openEmergencies]) {
      const entries = refuseEmergencies
        ? [this.commitLift(killId)]
        : this.commitKill(subject, killId);
      this.openEmergencies.delete(killId);
      for (const one of this.history.emergencies)
        if (one.killId === killId) {
          one.closed = true;
          one.refused = refuseEmergencies;
        }
      replica?.committed(entries);
    }
  }

  /** Goes back to a backup. What is lost is committed again only when an enforcement point shows it. */
  restore(backup: unknown, noticed = true): void {
    const { database, history, around } = this;
    database.restore(backup);
    const lost = history.lose(database.head);
    if (!noticed) {
      this.wentBackUnnoticed = true;
      history.forgetPlaces(database.head);
      return;
    }
    this.openEpoch(around.rules.restoreOpensAnEpoch);
    // A journal beside the database says what was announced without it.
    const announced = new Set(history.emergencies.map(({ killId }) => killId));
    for (const { killId, refused } of history.emergencies)
      if (refused && !database.isLifted(killId)) this.commitLift(killId);
    for (const { kind, killId, subject } of lost)
      if (kind === 'kill' && announced.has(killId)) this.commitKill(subject, killId);
  }

  /** @returns what was committed again, to be published; whatever was signed and is not held here */
  takeEvidence(entries: readonly string[]): SignedEntry[] {
    const { database, around } = this;
    if (!around.rules.evidenceIsTaken) return [];
    const shown = entries
      .filter((jws) => !database.knows(jws))
      .map((jws) => ({ jws, entry: JSON.parse(jws) as Entry }));
    if (shown.some(({ entry }) => entry.epoch >= database.head.epoch)) this.openEpoch(true);
    return shown.flatMap(({ jws, entry }) => this.commitAgain(jws, entry));
  }

  private commitAgain(jws: string, entry: Entry): SignedEntry[] {
    const { database } = this;
    const op = knownOp(entry);
    if (op === null || op.op === 'key') return [];
    database.learn(jws);
    if (op.op === 'floor')
      return this.commitKill(op.subject, entry.kill_id, op.in_flight === 'drain');
    if (op.op === 'lift') return [this.commitLiftAgain(op.id)];
    if (database.isLifted(op.id)) return [];
    const [kind, id] = op.subject.split(':') as [string, string];
    if (kind === 'enforcement_point') return this.commitPointKill(id, entry.kill_id);
    if (kind === 'signing_key') return this.commitKeyKill(id, entry.kill_id);
    const signed = database.suspend(op.subject, op.id);
    this.record(signed, 'suspend', op.subject, Infinity);
    return [signed];
  }

  private openEpoch(opens: boolean): void {
    const { database, history } = this;
    if (opens) database.openEpoch(this.longestPolicyMs);
    this.epochOpenedAt = this.around.time.now;
    // Its lift is lost: from now on it stands for everybody again.
    for (const [killId, subject] of database.standing())
      if (history.isLifted(killId))
        this.recordAt(database.head, killId, kindOf(subject), subject, Infinity);
  }

  /** What the database says of an order; a mutation may say too much. */
  private record(
    signed: SignedEntry,
    kind: Order['kind'],
    subject: string,
    floor: number,
    drain = false,
  ): void {
    const { epoch, seq, kill_id: killId } = signed.entry;
    this.recordAt({ epoch, seq }, killId, kind, subject, floor, drain);
  }

  private recordAt(
    position: Position,
    killId: string,
    kind: Order['kind'],
    subject: string,
    floor: number,
    drain = false,
  ): void {
    const { policyMs, longestPolicyMs, around, database } = this;
    const storedLeaseMs = around.rules.boundCoversEarlierPolicies ? longestPolicyMs : policyMs;
    this.history.commit(
      {
        ...{ killId, kind, subject, floor, drain, position, committedAt: around.time.now },
        ...{ longestLeaseMs: longestPolicyMs, storedLeaseMs },
      },
      database.digestAt(position) ?? database.digest,
    );
  }

  private commitKill(subject: string, killId: string, drain = false): SignedEntry[] {
    const { signed, floor } = this.database.kill(subject, killId, drain);
    this.record(signed, 'kill', subject, floor, drain);
    return [signed];
  }

  private commitPointKill(ep: string, killId: string): SignedEntry[] {
    const signed = this.database.revokePoint(ep, killId);
    this.record(signed, 'kill', `enforcement_point:${ep}`, Infinity);
    return [signed];
  }

  private commitKeyKill(kid: string, killId: string): SignedEntry[] {
    const [signed, ...heirs] = this.database.killKey(kid, killId);
    if (signed === undefined) return [];
    this.record(signed, 'kill', `signing_key:${kid}`, Infinity);
    for (const heir of heirs)
      this.history.place(heir.entry, this.database.digestAt(heir.entry) ?? '');
    return [signed, ...heirs];
  }

  /** Whoever was reinstated in the epoch that is lost is so again. */
  private commitLiftAgain(killId: string): SignedEntry {
    for (const [ep, order] of this.database.boots.table.revoked)
      if (order === killId)
        this.database.boots.reinstate(ep, this.around.rules.reinstatedPointsReturn);
    return this.commitLift(killId);
  }

  private commitLift(killId: string): SignedEntry {
    const signed = this.database.lift(killId);
    this.history.lift(killId);
    const { epoch, seq } = signed.entry;
    this.history.place({ epoch, seq }, this.database.digest);
    return signed;
  }

  /** Some living replica commits; it publishes at once unless it dies between the two. */
  private by(dies: boolean, commit: () => SignedEntry[]): void {
    const replica = this.around.random.pick(this.living());
    if (replica === undefined || !this.database.up) return;
    const entries = commit();
    if (dies) replica.crash();
    else replica.committed(entries);
  }

  private raiseAgain(subject: string): void {
    this.database.reinstate(subject, this.around.rules.floorsOutliveReinstatement);
  }

  private mint(agent: string): void {
    const kid = keyIn(this.database.keys, 'live');
    if (kid !== undefined) this.population.mint(agent, this.database.generationOf, kid);
  }

  private newId(): string {
    this.ids += 1;
    return `kil_${String(this.ids).padStart(4, '0')}`;
  }
}

/** Whatever is suspended in the place of a kill is not lifted by mistake. */
function kindOf(subject: string): Order['kind'] {
  return /^(enforcement_point|signing_key):/.test(subject) ? 'kill' : 'suspend';
}
