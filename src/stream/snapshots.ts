import {
  allRequests,
  comparePositions,
  SnapshotRequest,
  typOf,
  type Position,
  type Refusal,
  type SnapshotManifest,
} from '@sever/protocol';
import type { Logger } from 'pino';
import { type Broker, type BrokerMessage } from '../broker/broker';
import { type SigningKeys } from '../signing/signing-keys';
import { Batcher } from './batcher';
import type { EntryRefusal } from './boot-rules';
import { type BootStore, type Entered } from './boot.store';
import { type EnforcementEvents } from './enforcement-events';
import { type EpSignatures } from './ep-signatures';
import { requestFrom, type EpIdentity, type EpRequestFrom } from './ep-request';
import { type Replica } from './replica';
import { type SnapshotBuilder, type BuiltSnapshot } from './snapshot-builder';
import { type Turn } from './turn';

const MAX_REQUEST_BYTES = 8_192;
/** Snapshots on their way at once; a fleet that comes back together is served in turns, and asks again. */
const MAX_SENDING = 8;
const MAX_WAITING = 2_000;
/** A snapshot is used again this long, while nothing was appended since. */
const REUSED_MS = 1_000;

export interface SnapshotsPorts {
  readonly broker: Broker;
  readonly signatures: EpSignatures;
  readonly boots: BootStore;
  readonly builder: SnapshotBuilder;
  readonly keys: SigningKeys;
  readonly events: EnforcementEvents;
  readonly turn: Turn;
  readonly replica: Replica;
  readonly log: Logger;
}

export interface TakenSnapshot {
  readonly refused: null;
  /** Signed; names each chunk by its hash. */
  readonly manifest: string;
  readonly chunks: readonly Buffer[];
}

export interface SnapshotRefused {
  readonly refused: EntryRefusal | 'bad_request';
  readonly detail: string;
}

/**
 * Answers a booting enforcement point: its boot is stored and committed first, then everything in force is read and
 * sent. In that order no kill falls between the roster and the snapshot.
 */
export class Snapshots {
  private readonly entering = new Map<string, Batcher<SnapshotRequest, Entered>>();
  private readonly building = new Map<string, Batcher<null, BuiltSnapshot>>();
  private readonly built = new Map<string, { snapshot: BuiltSnapshot; at: number }>();
  private readonly queue: (() => void)[] = [];
  private sending = 0;
  private subscription: { unsubscribe(): void } | undefined;

  constructor(private readonly ports: SnapshotsPorts) {}

  onApplicationBootstrap(): void {
    this.subscription = this.ports.broker.subscribe(allRequests('snapshot'), (message) =>
      this.answer(message),
    );
  }

  beforeApplicationShutdown(): void {
    this.subscription?.unsubscribe();
  }

  /** Whichever road the question came by. Nobody is answered who was not stored, and committed, before the read. */
  async take(from: EpIdentity, jws: string): Promise<TakenSnapshot | SnapshotRefused> {
    if (jws.length > MAX_REQUEST_BYTES) return { refused: 'bad_request', detail: 'too large' };
    const request = await this.ports.signatures.verify(from, jws, {
      [typOf('snapshot-request')]: SnapshotRequest,
    });
    if (request === null) return { refused: 'bad_request', detail: 'not signed by this one' };
    const entered = await this.enter(from.tenant, request);
    if (entered.refused !== null)
      return { refused: entered.refused, detail: `boot ${request.boot_id} may not enter` };
    this.tell(from, request, entered);
    const snapshot = await this.atLeast(from.tenant, entered.head);
    return {
      refused: null,
      manifest: await this.signManifest(from.tenant, request, snapshot),
      chunks: snapshot.chunks,
    };
  }

  private async answer(message: BrokerMessage): Promise<void> {
    const from = requestFrom(message);
    if (from === null || message.data.length > MAX_REQUEST_BYTES) return;
    if (!this.ports.turn.isMine(from.reply) || this.queue.length >= MAX_WAITING) return;
    const answer = await this.take(from, Buffer.from(message.data).toString('latin1'));
    if (answer.refused !== null) return this.refuse(from, answer.refused, answer.detail);
    await this.inTurn(() => this.send(from.reply, answer));
  }

  private enter(tenant: string, request: SnapshotRequest): Promise<Entered> {
    let entering = this.entering.get(tenant);
    if (entering === undefined) {
      entering = new Batcher((requests) => this.ports.boots.enter(tenant, requests));
      this.entering.set(tenant, entering);
    }
    return entering.add(request);
  }

  private tell(
    { tenant, ep }: EpIdentity,
    request: SnapshotRequest,
    entered: Entered & { refused: null },
  ): void {
    const { boots } = this.ports.events;
    if (entered.replaced !== null)
      boots.next({ tenant, epId: ep, bootId: entered.replaced, change: 'left' });
    if (entered.isNew) boots.next({ tenant, epId: ep, bootId: request.boot_id, change: 'entered' });
  }

  /**
   * A snapshot no older than the head at which the boot was stored. One that was read for somebody else serves as well:
   * the boot is on the roster of every later kill.
   */
  private async atLeast(tenant: string, head: Position): Promise<BuiltSnapshot> {
    const recent = this.built.get(tenant);
    if (
      recent !== undefined &&
      this.ports.replica.monotonic() - recent.at < REUSED_MS &&
      comparePositions(recent.snapshot, head) >= 0
    )
      return recent.snapshot;
    let building = this.building.get(tenant);
    if (building === undefined) {
      building = new Batcher(async (waiting) => {
        const at = this.ports.replica.monotonic();
        const snapshot = await this.ports.builder.build(tenant);
        this.remember(tenant, snapshot, at);
        return waiting.map(() => snapshot);
      }, Infinity);
      this.building.set(tenant, building);
    }
    return building.add(null);
  }

  private remember(tenant: string, snapshot: BuiltSnapshot, at: number): void {
    this.built.set(tenant, { snapshot, at });
    setTimeout(() => {
      if (this.built.get(tenant)?.snapshot === snapshot) this.built.delete(tenant);
    }, REUSED_MS).unref();
  }

  private async signManifest(
    tenant: string,
    request: SnapshotRequest,
    snapshot: BuiltSnapshot,
  ): Promise<string> {
    const { epoch, seq, digest, now, items, hashes } = snapshot;
    const manifest: SnapshotManifest = {
      type: 'snapshot',
      v: 1,
      tenant,
      epoch,
      seq,
      boot_id: request.boot_id,
      nonce: request.nonce,
      digest,
      chunks: [...hashes],
      items,
      now,
    };
    return this.ports.keys.sign(tenant, 'stream', typOf('snapshot'), JSON.stringify(manifest));
  }

  private async send(reply: string, { manifest, chunks }: TakenSnapshot): Promise<void> {
    const { broker } = this.ports;
    broker.publish(reply, manifest);
    for (const chunk of chunks) broker.publish(reply, chunk);
    // Waits until the server has taken them, so that only so many lie in this process's memory at once.
    if (chunks.length > 1) await broker.flush().catch(() => undefined);
  }

  private async inTurn(send: () => Promise<void>): Promise<void> {
    if (this.sending >= MAX_SENDING) await new Promise<void>((resolve) => this.queue.push(resolve));
    this.sending += 1;
    try {
      await send();
    } finally {
      this.sending -= 1;
      this.queue.shift()?.();
    }
  }

  private refuse({ tenant, ep, reply }: EpRequestFrom, code: string, detail: string): void {
    this.ports.log.warn({ tenant, ep, code }, 'refused a snapshot');
    const refusal: Refusal = { type: 'refused', v: 1, code, detail };
    this.ports.broker.publish(reply, JSON.stringify(refusal));
  }
}
