import { ControlPlane } from './control-plane';
import { EnforcementPoint } from './enforcement-point';
import { Judge, Violation } from './judge';
import { Network } from './network';
import { Randomness } from './randomness';
import type { ModelRelay } from './relay';
import type { Variation } from './rules';
import { VirtualTime } from './virtual-time';

/** After the last fault, until everybody must know everything: longest back-off, then the longest lease. */
const CONVERGED_AFTER_MS = 26_000;

/** The whole system in one process and in virtual time: everything that happens follows from the seed. */
export class Simulation {
  /** Beside the looks after every message. */
  lookEveryMs = 100;
  readonly time = new VirtualTime();
  readonly random: Randomness;
  readonly network: Network;
  readonly points: readonly EnforcementPoint[] = [
    new EnforcementPoint('enf_1', 'strict', 0.96),
    new EnforcementPoint('enf_2', 'strict', 1.03, true),
    new EnforcementPoint('enf_3', 'best_effort', 1),
  ];
  readonly plane: ControlPlane;
  readonly judge: Judge;

  constructor(seed: number, variation: Variation) {
    const { time, points } = this;
    const random = (this.random = new Randomness(seed));
    const network = (this.network = new Network(time, random));
    const { rules, logic } = variation;
    const around = { time, random, network, points, rules, logic };
    const plane = (this.plane = new ControlPlane(around));
    const judge = (this.judge = new Judge(() => time.now, plane, points));
    for (const point of points) point.site = { time, random, network, variation, plane, judge };
  }

  start(): void {
    this.plane.start();
    for (const point of this.points) point.startProcess();
    const look = (): void => {
      this.judge.lookAtAll();
      this.time.after(this.lookEveryMs, look);
    };
    look();
  }

  pass(milliseconds: number): void {
    this.time.pass(milliseconds, () => undefined);
  }

  point(n: number): EnforcementPoint {
    return this.points[n % this.points.length] as EnforcementPoint;
  }

  breakBroker(forMs: number): void {
    if (!this.network.brokerUp) return;
    this.network.brokerUp = false;
    this.network.outages += 1;
    for (const { relay } of this.plane.living()) this.losesBroker(relay);
    for (const { processes } of this.points)
      for (const process of processes)
        this.time.after(this.random.between(0, 3_000), () => process.disconnect());
    this.time.after(forMs, () => this.mendBroker());
  }

  breakDatabase(forMs: number, refuseEmergencies: boolean): void {
    if (!this.plane.database.up) return;
    this.plane.database.up = false;
    this.time.after(forMs, () => this.mendDatabase(refuseEmergencies));
  }

  /** No more faults from now on. */
  calm(): void {
    this.network.calm();
    this.mendBroker();
    this.mendDatabase(false);
    for (const { link, http } of this.points) {
      link.heal();
      http.heal();
    }
    for (const replica of this.plane.replicas) if (!replica.alive) replica.start();
  }

  /** Everybody knows everything, and nothing is denied that nobody stopped. */
  convergesAfterCalm(): void {
    this.calm();
    this.pass(CONVERGED_AFTER_MS);
    this.everyPointAgrees();
    this.plane.kill('alone');
    this.pass(1_000);
    this.everyPointAgrees();
    this.newestOrderIsContained();
  }

  /** The newest order is, unless a boot is on its roster of which nobody will ever know. */
  newestOrderIsContained(): void {
    this.judge.lookAtContainment();
    const last = this.plane.history.orders.at(-1);
    if (last !== undefined && last.containedAt === null && this.canBeContained(last.position))
      this.fail('I9', `${last.killId} is not contained soon after it was given`);
  }

  /** Nobody misses anything, and nobody denies what is not stopped. */
  everyPointAgrees(): void {
    const { database, history, population } = this.plane;
    for (const point of this.points) {
      const { processes, id, at } = point;
      if (database.boots.isRevoked(id)) {
        this.revokedPointIsDark(point);
        continue;
      }
      if (processes.every((process) => !process.alive)) this.fail('I9', `${id} has no process`);
      for (const { machine, bootId, alive, keys } of processes) {
        if (!alive) continue;
        for (const [kid, { state }] of database.keys)
          if (state !== 'dead' && !keys.has(kid))
            this.fail('no false denial', `${bootId} does not know the key ${kid}`);
        const { chain } = machine;
        const { epoch, seq } = database.head;
        if (chain.epoch !== epoch || chain.applied !== seq)
          this.fail('I9', `${bootId} is at ${chain.epoch}.${chain.applied}, head ${epoch}.${seq}`);
        if (chain.digest !== database.digest) this.fail('I5', `${bootId} holds another digest`);
        for (const jws of machine['evidence'].show(epoch, 0).entries)
          if (jws.includes('"op":"floor"') && !database.knows(jws))
            this.fail('I8', `${bootId} keeps a kill that the database has lost: ${jws}`);
        if (machine.standing(at) !== 'fresh') this.fail('I9', `${bootId} ${machine.standing(at)}`);
        for (const { lineage, name } of population.credentials) {
          const denied = machine.view.denial(lineage) !== null;
          const stopped = history.isStopped(lineage);
          if (stopped !== denied && !(denied && history.isUndecided(lineage)))
            this.fail(stopped ? 'I5' : 'no false denial', `${bootId}: ${name} denied: ${denied}`);
        }
      }
    }
  }

  /** It has nothing to agree on any more: nobody tells it anything. */
  private revokedPointIsDark({ id, processes, at }: EnforcementPoint): void {
    for (const { machine, bootId, alive } of processes)
      if (alive && machine.standing(at) === 'fresh')
        this.fail('I9', `${bootId} of ${id}, which is revoked, is fresh`);
  }

  /** Not when a best-effort process died unproven: of it nobody will ever know. */
  private canBeContained(position: { epoch: number; seq: number }): boolean {
    const alive = new Set(this.points.flatMap((p) => p.processes.map(({ bootId }) => bootId)));
    const { database, around, epochOpenedAt } = this.plane;
    return (
      this.time.now > epochOpenedAt + 50_000 &&
      around.points.some(({ id }) => !database.boots.isRevoked(id)) &&
      database.boots.roster(position).every(({ left, bootId }) => left || alive.has(bootId))
    );
  }

  /** Noticed a while later; what is published until then is lost. */
  private losesBroker(relay: ModelRelay): void {
    const { outages } = this.network;
    this.time.after(this.random.between(0, 2_000), () => {
      if (!this.network.brokerUp && this.network.outages === outages) relay.brokerLost();
    });
  }

  private mendBroker(): void {
    if (this.network.brokerUp) return;
    this.network.brokerUp = true;
    for (const { processes } of this.points) for (const process of processes) process.disconnect();
    for (const { relay } of this.plane.living()) relay.reconnected();
  }

  private mendDatabase(refuseEmergencies: boolean): void {
    if (!this.plane.database.up) this.plane.databaseIsBack(refuseEmergencies);
  }

  private fail(invariant: string, detail: string): never {
    throw new Violation(invariant, `at ${Math.round(this.time.now)} ms ${detail}`);
  }
}
