import { decide } from '../../packages/enforcement/src/decide';
import { sha256 } from '../../packages/enforcement/src/driver';
import { InFlight, type TrackedCall } from '../../packages/enforcement/src/in-flight';
import type { KeyRing } from '../../packages/enforcement/src/key-ring';
import { learnKey, type KeyRings } from '../../packages/enforcement/src/learn-key';
import type { Machine } from '../../packages/enforcement/src/machine';
import type {
  Effect,
  MachineEvent,
  SignedEntry,
} from '../../packages/enforcement/src/machine-events';
import type { Caller, Decision } from '../../packages/enforcement/src/types';
import type { VerifiedToken } from '../../packages/enforcement/src/verified-token';
import type { EnforcementPoint } from './enforcement-point';
import type { Kind, Road } from './network';
import { TENANT, type Credential } from './population';
import { SecondRoad } from './second-road';

const REQUEST_TIMEOUT_MS = 2_000;
const RECONNECT_MS = 500;
const STEP_IN_MS = 500;

type Take = (replica: EnforcementPoint['site']['plane']['replicas'][number], road: Road) => void;

export interface Call {
  readonly credential: Credential;
  readonly tracked: TrackedCall;
}

/** One process of an enforcement point: the machine that the SDK runs, its calls in flight, and a transport that may fail. */
export class Process {
  readonly machine: Machine;
  readonly inFlight: InFlight;
  readonly keys: KeyRing;
  calls: Call[] = [];
  alive = true;
  /** Hears nothing, though its neighbours on the host do. */
  deaf = false;
  /** Replaced by a process that does not know of it. */
  isZombie = false;
  /** True time at which each lease request left, by nonce. */
  readonly leasesAsked = new Map<string, number>();
  /** Nonce of the newest snapshot request. */
  lastSnapshotAsked = '';
  private readonly snapshotsAsked = new Map<string, string | undefined>();
  readonly road: SecondRoad;
  private connected = false;
  /** The last thing said to the machine: that there is a road, or none. */
  private told = false;
  private readonly leasesAnswered = new Set<string>();
  private waiting: (() => void)[] = [];
  private alarms = 0;
  private readonly tokens = new Map<string, VerifiedToken>();
  private nonces = 0;

  constructor(
    readonly point: EnforcementPoint,
    readonly bootId: string,
  ) {
    const { variation, random } = point.site;
    this.machine = new variation.machine({
      ...{ tenant: TENANT, ep: point.id, bootId, mode: point.mode, sha256, random: random.next },
      kept: point.kept,
      nonce: () => `${bootId}-nonce-${String((this.nonces += 1)).padStart(8, '0')}`,
    });
    this.keys = new variation.keyRing();
    this.road = new SecondRoad(this);
    this.inFlight = new InFlight({
      clock: { monotonic: () => point.at.mono, wall: () => point.at.wall },
      timers: { after: () => () => undefined },
      onDrained: () => point.site.time.after(0, () => this.receive({ type: 'drained' }, false)),
      abort: 'stream',
      mayRelay: () =>
        !variation.heldByStanding || ['fresh', 'stale'].includes(this.machine.standing(point.at)),
    });
  }

  start(): void {
    this.reconnect();
    if (this.hasSecondRoad) this.road.start();
  }

  die(): void {
    this.alive = false;
    this.waiting = [];
  }

  decision(credential: Credential): Decision {
    const { machine, point } = this;
    const expired = machine.now(point.at) >= credential.expiresAtMs;
    const verifies = !expired && this.keys.has(credential.kid);
    const token = verifies ? this.tokenOf(credential) : null;
    return decide(token, {}, machine.view, machine.standing(point.at));
  }

  /** Refuses everything, and says so; only then can it be believed. */
  leave(): void {
    const { judge, variation } = this.point.site;
    if (!this.alive || this.point.isFrozen) return;
    if (variation.refusesBeforeLeaving)
      this.perform(this.machine.goDark({ kind: 'stopped', detail: 'leaving' }));
    this.send('receipt', (replica) => replica.leave(this));
    judge.look(this);
  }

  /** Begins a call that runs until somebody ends it. */
  call(credential: Credential): void {
    if (!this.alive || this.point.isFrozen || this.decision(credential).decision === 'deny') return;
    const tracked = this.inFlight.admit(this.tokenOf(credential), {}, 'relayed');
    tracked.signal.addEventListener('abort', () => tracked.finish());
    this.calls.push({ credential, tracked });
  }

  /** Calls whose bytes flow at this moment. */
  flowing(): Call[] {
    this.calls = this.calls.filter(({ tracked }) => !tracked.signal.aborted);
    return this.calls.filter(({ tracked }) => !tracked.held);
  }

  /** The connection is seen to be lost; what was on its way is lost with it. */
  disconnect(): void {
    if (!this.connected) return;
    this.connected = false;
    this.road.health.lost();
    if (!this.road.standing) this.tellLost();
    this.reconnect();
  }

  /** The control plane answers by itself. */
  roadFound(): void {
    if (this.told) return;
    this.told = true;
    this.receive({ type: 'connected' }, false);
  }

  roadLost(): void {
    if (!this.connected) this.tellLost();
  }

  receive(event: MachineEvent, replayed: boolean): void {
    if (this.deaf) return;
    if (event.type === 'lease' && !replayed) this.leasesAnswered.add(event.reply.nonce);
    this.whenRunning(() => {
      const { judge } = this.point.site;
      const before = judge.before(this, event);
      this.handle(event);
      judge.after(this, before);
      if (event.type === 'snapshot' && !replayed) this.snapshotCame(event.manifest.nonce);
    });
  }

  answerRange(epoch: number, entries: readonly SignedEntry[], compacted: boolean): void {
    for (const signed of entries) this.receive({ type: 'entry', ...signed }, false);
    this.receive({ type: 'range', epoch, compacted }, false);
  }

  /** A decision comes first, then what waited, then what the clock brings. */
  thaw(): void {
    if (!this.alive) return;
    this.point.site.judge.look(this);
    for (const run of this.waiting.splice(0)) run();
    this.handle({ type: 'tick' });
  }

  private handle(event: MachineEvent): void {
    if (!this.alive) return;
    this.perform(this.machine.handle(event, this.point.at));
    this.arm();
  }

  private arm(): void {
    this.alarms += 1;
    const alarm = this.alarms;
    const left = this.machine.nextDeadline() - this.point.at.mono;
    if (left === Infinity) return;
    this.point.site.time.after(Math.max(1, Math.ceil(left)), () => {
      if (alarm === this.alarms) this.whenRunning(() => this.handle({ type: 'tick' }));
    });
  }

  private perform(effects: readonly Effect[]): void {
    const { variation, judge } = this.point.site;
    const early = variation.abortsBeforeReceipt
      ? effects
      : [...effects].sort((a, b) => Number(b.type === 'receipt') - Number(a.type === 'receipt'));
    for (const effect of early)
      switch (effect.type) {
        case 'abort':
          this.inFlight.abortDenied(this.machine.view, effect.subjects);
          break;
        case 'hold':
          this.inFlight.hold();
          break;
        case 'release':
          this.inFlight.release();
          break;
        case 'cut':
          this.inFlight.cut();
          break;
        case 'key':
          learnKey(effect, this.rings);
          break;
        case 'keep':
          if (!this.isZombie) this.point.kept = effect.emergencies;
          break;
        case 'alarm':
          judge.alarm(this, effect.alarm);
          break;
        case 'receipt':
          judge.receipt(this, effect.body);
          this.send('receipt', (replica) => replica.receipt(this, effect.body));
          break;
        case 'request_snapshot':
          this.askSnapshot(effect.nonce);
          break;
        case 'show_evidence':
          this.send('evidence', (replica, road) => replica.evidence(this, effect.entries, road));
          this.timeout({ type: 'evidence_failed' });
          break;
        case 'request_range':
          this.send('range', (replica, road) =>
            replica.range(this, effect.epoch, effect.from, effect.to, road),
          );
          this.timeout({ type: 'range_failed' });
          break;
        case 'request_lease':
          this.leasesAsked.set(effect.nonce, this.point.site.time.now);
          this.askLease(effect);
          break;
      }
  }

  private askSnapshot(nonce: string): void {
    const replaces = this.isZombie ? undefined : this.point.predecessors[0];
    this.lastSnapshotAsked = nonce;
    this.snapshotsAsked.set(nonce, replaces);
    this.send('snapshot', (replica, road) => replica.snapshot(this, nonce, replaces, road));
    this.timeout({ type: 'snapshot_failed', nonce });
  }

  private snapshotCame(nonce: string): void {
    const replaced = this.snapshotsAsked.get(nonce);
    if (replaced === undefined) return;
    const { predecessors } = this.point;
    const at = predecessors.indexOf(replaced);
    if (at >= 0) predecessors.splice(at, 1);
    // One predecessor is named at a time.
    if (at >= 0 && predecessors.length > 0) this.receive({ type: 'suspect' }, false);
  }

  /** A request that the broker's road does not answer soon shows that it is not well. */
  private askLease(asked: Extract<Effect, { type: 'request_lease' }>): void {
    const { nonce, epoch, applied } = asked;
    const take: Take = (replica, road) => replica.lease(this, asked, road);
    this.road.known = { epoch, seq: applied };
    this.send('lease', take);
    this.timeout({ type: 'lease_failed', nonce });
    if (!this.hasSecondRoad || this.road.isNeeded) return;
    this.point.site.time.after(STEP_IN_MS, () => {
      if (!this.alive || this.leasesAnswered.has(nonce)) return;
      this.road.health.missed();
      this.sendOver('http', 'lease', take);
    });
  }

  private get hasSecondRoad(): boolean {
    return this.point.hasSecondRoad && this.point.site.variation.secondRoad;
  }

  private send(kind: Kind, take: Take): void {
    this.sendOver('nats', kind, take);
    if (this.hasSecondRoad && this.road.isNeeded) this.sendOver('http', kind, take);
  }

  private sendOver(road: Road, kind: Kind, take: Take): void {
    const { network, plane, random } = this.point.site;
    const deliver = (): void => {
      const replica = random.pick(plane.living());
      if (replica !== undefined) take(replica, road);
    };
    network.toControlPlane(
      road === 'http' ? this.point.http : this.point.link,
      kind,
      deliver,
      road,
    );
  }

  private tellLost(): void {
    if (!this.told) return;
    this.told = false;
    this.receive({ type: 'disconnected' }, false);
  }

  private timeout(event: MachineEvent): void {
    this.point.site.time.after(REQUEST_TIMEOUT_MS, () => this.receive(event, false));
  }

  private reconnect(): void {
    const { network, time } = this.point.site;
    const { link } = this.point;
    if (!this.alive || this.connected) return;
    if (!network.brokerUp || link.deaf || link.mute || this.point.isFrozen) {
      time.after(RECONNECT_MS, () => this.reconnect());
      return;
    }
    this.connected = true;
    this.told = true;
    this.road.health.connectedAt(time.now);
    this.receive({ type: 'connected' }, false);
  }

  private whenRunning(run: () => void): void {
    if (!this.alive) return;
    if (this.point.isFrozen) this.waiting.push(run);
    else run();
  }

  /** Of the three rings only that of tokens matters here; stream and halt are not signed in the model. */
  private get rings(): KeyRings {
    const { keys } = this;
    return { tokenKeys: keys, streamKeys: keys } as unknown as KeyRings;
  }

  /** A view's version is kept with the token, so each process has tokens of its own. */
  private tokenOf({ name, agent, kid, lineage, expiresAtMs }: Credential): VerifiedToken {
    let token = this.tokens.get(name);
    if (token === undefined) {
      const caller: Caller = {
        ...{ agentId: agent, credentialId: name, tenant: TENANT, initiatorId: 'ini_1' },
        ...{ scopes: [], expiresAt: expiresAtMs / 1_000, chain: [agent], taskIds: [] },
      };
      token = {
        ...{ token: name, kid, lineage, scopes: [], caller, expiresAtMs },
        allowed: { decision: 'allow', stale: false, caller },
        allowedStale: { decision: 'allow', stale: true, caller },
        ...{ seenVersion: -1, denial: null, isNarrowed: false },
      };
      this.tokens.set(name, token);
    }
    return token;
  }
}
