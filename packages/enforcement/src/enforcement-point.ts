import { join } from 'node:path';
import { DEFAULT_AUDIENCE, newId, type EnrolReply, type Serves } from '@sever/protocol';
import { AccessKeeper } from './access-keeper';
import { Alarms } from './alarms';
import { CallRecorder } from './calls/call-recorder';
import { systemClock, systemTimers, type Instant } from './clock';
import { decide } from './decide';
import { Driver, newNonce, sha256 } from './driver';
import { EmergencyKeeper } from './emergency-keeper';
import { ControlPlane } from './enrol';
import { haltStates } from './halt-states';
import { InFlight, type CallKind, type TrackedCall } from './in-flight';
import { Intake } from './intake';
import { KeyDirectory } from './key-directory';
import { KeyRing } from './key-ring';
import { Machine } from './machine';
import type { Alarm, Standing } from './machine-events';
import { runGuarded } from './run-guarded';
import { TokenVerifier } from './token-verifier';
import type { Road, Transport } from './transport';
import { openTransport } from './transports/open-transport';
import {
  RefusedError,
  type Admission,
  type Allowed,
  type CallContext,
  type ConnectOptions,
  type Decision,
  type Denied,
  type EnforcementState,
  type HaltOutcome,
  type Logger,
  type SeenCall,
} from './types';
import { unknownCaller } from './unknown-caller';
import type { VerifiedToken } from './verified-token';
import { within } from './within';

/** Calls in flight get this long to end by themselves when the enforcement point closes. */
const DRAIN_MS = 5_000;
/** Records of calls get this long to arrive then; the rest is written down for the next process. */
const FLUSH_MS = 1_000;
const silent: Logger = { info: () => {}, warn: () => {}, error: () => {} };

type Settings = Required<
  Pick<ConnectOptions, 'url' | 'name' | 'mode' | 'abort' | 'audience' | 'transport' | 'logger'>
>;

/**
 * Where access is stopped. It decides every call locally, in microseconds, from what the control plane has signed;
 * a kill reaches it in milliseconds, and no failure lets a killed agent through for longer than the lease.
 *
 * @example
 * const enforcement = await EnforcementPoint.connect({
 *   url: 'http://127.0.0.1:7400',
 *   enrolmentKey: process.env.SEVER_ENROLMENT_KEY,
 *   name: 'payments-api',
 *   keyDirectory: '/var/lib/payments/sever',
 * });
 * const paid = await enforcement.guard(token, { tool: 'payments/transfer' }, (signal) => transfer(order, signal));
 */
export class EnforcementPoint {
  private readonly clock = systemClock;
  private readonly tokenKeys = new KeyRing();
  private readonly streamKeys = new KeyRing();
  private readonly haltKeys = new KeyRing();
  private readonly bootId = newId('boot');
  private readonly alarms: Alarms;
  private readonly machine: Machine;
  private readonly verifier: TokenVerifier;
  private readonly inFlight: InFlight;
  private readonly transport: Transport;
  private readonly intake: Intake;
  private readonly driver: Driver;
  private readonly access: AccessKeeper;
  private readonly calls: CallRecorder;
  private readonly unknown: VerifiedToken;
  private staleAdmissions = 0;
  private closing: Promise<void> | null = null;

  private constructor(
    private readonly settings: Settings,
    private readonly enrolled: EnrolReply,
    private readonly keys: KeyDirectory,
    controlPlane: ControlPlane,
  ) {
    const { clock, bootId, tokenKeys, streamKeys } = this;
    const { mode, abort, logger, audience, name } = settings;
    const { id: ep, tenant, issuer } = enrolled;
    const timers = systemTimers;
    this.alarms = new Alarms(logger);
    this.unknown = unknownCaller(tenant);
    this.machine = new Machine({
      tenant,
      ep,
      enrolmentKeyId: enrolled.enrolment_key_id,
      bootId,
      mode,
      kept: keys.kept,
      sha256,
      random: Math.random,
      nonce: newNonce,
    });
    this.verifier = new TokenVerifier({ tenant, issuer, audience, keys: tokenKeys });
    this.inFlight = new InFlight({
      ...{ clock, timers, abort, mayRelay: () => this.mayRelay() },
      // A strict one holds everything by itself.
      ...(mode === 'best_effort' && { isLeased: () => this.standing() === 'fresh' }),
      onDrained: () => this.driver.soon({ type: 'drained' }),
    });
    this.intake = new Intake({
      tenant,
      ep,
      streamKeys,
      haltKeys: this.haltKeys,
      leaseKey: Buffer.from(enrolled.lease_key, 'base64url'),
    });
    const reached = (yes: boolean): void => (yes ? this.access.found() : this.access.lost());
    this.transport = openTransport(settings.transport, {
      ...{ url: settings.url, enrolled, seed: keys.natsSeed, clock, timers },
      onBroker: reached,
    });
    const { machine, transport, intake, inFlight } = this;
    this.access = new AccessKeeper({
      controlPlane,
      keys,
      self: { name, mode, abort },
      enrolled,
      transport,
      intake,
      tokenKeys,
      streamKeys,
      haltKeys: this.haltKeys,
      timers,
      logger,
    });
    this.driver = new Driver({
      ep,
      tenant,
      bootId,
      mode,
      abort,
      machine,
      transport,
      intake,
      inFlight,
      staleAdmissions: () => this.staleAdmissions,
      keys,
      tokenKeys,
      streamKeys,
      haltKeys: this.haltKeys,
      keeper: new EmergencyKeeper((emergencies) => keys.keepEmergencies(emergencies), logger),
      clock,
      timers,
      logger,
      onAlarm: (alarm) => this.alarms.raise(alarm),
      // With two roads the broker is looked for also while the other one stands.
      onConnection: settings.transport === 'auto' ? () => undefined : reached,
    });
    this.calls = new CallRecorder({
      ...{ tenant, ep, bootId, clock, timers, transport, logger, random: Math.random },
      signer: keys.signer,
      directory: join(keys.path, 'calls'),
      // Behind, or without a lease, there is something more urgent to send.
      mayUse: () => machine.standing(this.driver.now()) === 'fresh',
    });
    keys.onLockLost(() =>
      this.driver.goDark({ kind: 'lock_lost', detail: 'its key directory is no longer locked' }),
    );
  }

  /**
   * Enrols, subscribes, and resolves once it holds its first snapshot and lease. Waits for a control plane that is
   * not there yet, up to `timeoutMs`.
   *
   * @throws EnrolmentRefusedError when the control plane refuses; Error when the key directory is held by another
   *   process, when the time is over, or when the enforcement point turns out to be revoked
   */
  static async connect(options: ConnectOptions): Promise<EnforcementPoint> {
    const logger = options.logger ?? silent;
    const { name, mode = 'strict', abort = 'signal', audience = DEFAULT_AUDIENCE } = options;
    const until =
      options.timeoutMs === undefined ? undefined : systemClock.monotonic() + options.timeoutMs;
    const keys = await KeyDirectory.open(options.keyDirectory);
    let started: EnforcementPoint | null = null;
    try {
      const controlPlane = new ControlPlane({ ...options, logger });
      const enrolled = await controlPlane.enrol(keys, { name, mode, abort }, until);
      const { url, transport = 'auto' } = options;
      const settings = { url, name, mode, abort, audience, transport, logger };
      started = new EnforcementPoint(settings, enrolled, keys, controlPlane);
      await started.start(until);
      return started;
    } catch (error) {
      await (started === null ? keys.close() : started.abandon());
      throw error;
    }
  }

  /** Decides one call, without admitting it: nothing will be cut if the agent is killed a moment later. */
  check(token: string, context: CallContext = {}): Promise<Decision> {
    const at = this.driver.look();
    const verified = this.verifier.recall(token, this.machine.now(at));
    if (verified !== undefined)
      return Promise.resolve(this.counted(this.decideAt(at, verified, context), context.look));
    return this.checkFirst(token, context);
  }

  /** Decides one call and, if it is allowed, watches it until `call.finish()`. */
  async admit(
    token: string,
    context: CallContext = {},
    kind: 'relayed' | 'let_through' = 'relayed',
  ): Promise<Admission> {
    return await this.admitAs(kind, token, context);
  }

  /**
   * Runs work for an agent, and tells it to stop through the signal when the agent is revoked.
   *
   * @returns what the work returns
   * @throws RefusedError when the call is refused, and at once when it is cut, whether or not the work has noticed
   */
  async guard<T>(
    token: string,
    context: CallContext,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const admission = await this.admitAs('guarded', token, context);
    if (admission.decision === 'deny') throw new RefusedError(admission);
    return await runGuarded(admission.call, work);
  }

  /**
   * Takes a kill order signed by a halt key, which needs neither control plane nor lease. Resolves once it is enforced
   * and written down.
   *
   * @param jws as `sever halt sign` makes it
   */
  async halt(jws: string): Promise<HaltOutcome> {
    return await this.driver.halt(jws);
  }

  /**
   * Records a call that was admitted, checked or refused here, for `GET /v1/calls`. Returns at once, whatever becomes of the
   * record; `state().calls` counts what was sent, waits or was dropped.
   */
  record(call: SeenCall): void {
    this.calls.record(call);
  }

  /** The database's clock as far as it is known here, milliseconds since the Unix epoch: never behind what was signed. */
  now(): number {
    return this.machine.now(this.driver.now());
  }

  /**
   * Tells the control plane which upstreams and tools it stands before, for people who look for a name.
   *
   * @throws EnrolmentRefusedError, or Error when the control plane is not reached
   */
  async serves(serves: Serves): Promise<void> {
    await this.access.serves(serves);
  }

  state(): EnforcementState {
    const at = this.driver.look();
    const { id, tenant, issuer } = this.enrolled;
    const { name, mode } = this.settings;
    const standing = this.machine.standing(at);
    return {
      ...{ id, name, tenant, issuer, mode },
      bootId: this.bootId,
      ready: this.closing === null && (standing === 'fresh' || standing === 'stale'),
      epoch: this.machine.chain.epoch,
      applied: this.machine.chain.applied,
      leaseLeftMs: this.machine.leaseLeftMs(at),
      inFlight: this.inFlight.size,
      staleAdmissions: this.staleAdmissions,
      halts: haltStates(this.machine.emergencies.entries()),
      calls: this.calls.counts(),
      darkBecause: this.machine.darkBecause,
    };
  }

  /** By which roads it hears the control plane at this moment. */
  roads(): readonly Road[] {
    return this.transport.roads;
  }

  /** Messages that changed nothing, by reason: bad signatures, wrong tenants, replays. */
  droppedMessages(): Readonly<Record<string, number>> {
    return { ...this.intake.rejected, ...this.machine.dropped };
  }

  /**
   * Told when it goes dark (diverged from the control plane, revoked, or no longer alone with its keys), and when a halt
   * is used.
   */
  onAlarm(listener: (alarm: Alarm) => void): void {
    this.alarms.listen(listener);
  }

  /**
   * Refuses every new call, gives those in flight up to 5 seconds (kills still cut them), then cuts the rest, tells
   * the control plane that it has left, and gives up its keys.
   */
  async close(): Promise<void> {
    this.closing ??= this.shutDown();
    await this.closing;
  }

  private async start(until: number | undefined): Promise<void> {
    await this.keys.enter(this.bootId);
    await this.tokenKeys.pin(this.enrolled.token_keys);
    await this.streamKeys.pin(this.enrolled.stream_keys);
    await this.keys.recallHaltKeys(this.haltKeys);
    await this.haltKeys.pin(this.enrolled.halt_keys);
    await this.keys.keepHaltKeys(this.haltKeys);
    this.access.lost();
    this.transport.start(this.driver).catch((error: unknown) => {
      this.settings.logger.warn({ error: String(error) }, 'the broker cannot be reached');
      this.access.lost();
    });
    await within(this.driver.ready(), until);
    this.calls.start();
  }

  private async shutDown(): Promise<void> {
    await this.inFlight.drained(DRAIN_MS);
    this.driver.goDark({ kind: 'stopped', detail: 'closed' });
    await this.inFlight.settled();
    const left = this.driver.leave();
    // A broker that does not answer must not keep the process from ending.
    await within(left, this.clock.monotonic() + 1_000).catch((error: unknown) =>
      this.settings.logger.warn({ error: String(error) }, 'the leave may not have arrived'),
    );
    await this.abandon(FLUSH_MS);
  }

  private async abandon(flushMs = 0): Promise<void> {
    await this.calls.close(flushMs);
    this.driver.stop();
    this.access.stop();
    await this.transport.close();
    await this.keys.close();
  }

  private async checkFirst(token: string, context: CallContext): Promise<Decision> {
    const verified = await this.verifier.verify(token, this.machine.now(this.driver.look()));
    return this.counted(this.decideNow(verified, context), context.look);
  }

  private async admitAs(
    kind: CallKind,
    token: string,
    context: CallContext,
  ): Promise<Denied | (Allowed & { readonly call: TrackedCall })> {
    const now = this.machine.now(this.driver.look());
    const verified =
      this.verifier.recall(token, now) ?? (await this.verifier.verify(token, now)) ?? null;
    // From here on in one synchronous step: no kill can fall between the decision and the admission.
    const decision = this.counted(this.decideNow(verified, context));
    if (decision.decision === 'deny') return decision;
    const isKnown = verified !== null && decision.caller === verified.caller;
    const admitted = isKnown ? verified : this.unknown;
    return { ...decision, call: this.inFlight.admit(admitted, context, kind) };
  }

  /** After a signature check, which took time: is the token still good, and what stands now? */
  private decideNow(verified: VerifiedToken | null, context: CallContext): Decision {
    const at = this.driver.look();
    const stands = verified !== null && this.verifier.stands(verified, this.machine.now(at));
    return this.decideAt(at, stands ? verified : null, context);
  }

  private decideAt(at: Instant, verified: VerifiedToken | null, context: CallContext): Decision {
    const standing = this.machine.standing(at);
    if (standing !== 'fresh') this.driver.wake();
    const caller = verified ?? (context.policy === 'observe' ? this.unknown : null);
    return decide(caller, context, this.machine.view, this.closing === null ? standing : 'dark');
  }

  private counted(decision: Decision, look = false): Decision {
    if (decision.decision === 'allow' && decision.stale && !look) this.staleAdmissions += 1;
    return decision;
  }

  private mayRelay(): boolean {
    const standing = this.standing();
    return standing === 'fresh' || standing === 'stale';
  }

  private standing(): Standing {
    return this.machine.standing(this.driver.look());
  }
}
