import { setTimeout as delay } from 'node:timers/promises';
import {
  allRequests,
  Evidence as EvidenceMessage,
  MAX_MESSAGE_BYTES,
  SnapshotManifest,
  typOf,
  type EvidenceReply,
} from '@sever/protocol';
import { compactVerify, importJWK, type CryptoKey, type JWK } from 'jose';
import type { Logger } from 'pino';
import { type Broker, type BrokerMessage } from '../broker/broker';
import { type Continuity } from '../database/continuity';
import { type SigningKeys } from '../signing/signing-keys';
import { Batcher } from './batcher';
import { type EnforcementEvents } from './enforcement-events';
import { requestFrom, type EpIdentity } from './ep-request';
import { type EpSignatures } from './ep-signatures';
import { type EvidenceStore } from './evidence.store';
import { digestAfter, readEntry, type ReadEntry } from './read-entry';
import { type Relay } from './relay';
import { type Turn } from './turn';

const MAX_BYTES = 2 * MAX_MESSAGE_BYTES;
const ATTEMPTS = 5;
/** The stream moved on to another epoch meanwhile, or two transactions met. */
const AGAIN = /^(40001|40P01|55P03)$/;

export interface EvidencePorts {
  readonly broker: Broker;
  readonly signatures: EpSignatures;
  readonly keys: SigningKeys;
  readonly store: EvidenceStore;
  readonly continuity: Continuity;
  readonly relay: Relay;
  readonly events: EnforcementEvents;
  readonly turn: Turn;
  readonly log: Logger;
}

interface Shown {
  readonly from: EpIdentity;
  readonly said: EvidenceMessage;
}

/**
 * Takes back what a restored database has forgotten. Enforcement points show entries that the control plane itself has
 * signed; what the database does not hold is committed again under the id of its order. Most of what a fleet shows is
 * known already, and is told apart by one statement, before any signature is looked at.
 */
export class Evidence {
  /** One tenant's evidence one after the other: of a fleet that shows the same, the second finds it done. */
  private readonly tenants = new Map<string, Batcher<Shown, number>>();
  private subscription: { unsubscribe(): void } | undefined;

  constructor(private readonly ports: EvidencePorts) {}

  onApplicationBootstrap(): void {
    this.subscription = this.ports.broker.subscribe(allRequests('evidence'), (message) =>
      this.answer(message),
    );
  }

  beforeApplicationShutdown(): void {
    this.subscription?.unsubscribe();
  }

  /** Whichever road it came by. @returns `null` when that enforcement point did not sign it */
  async take(from: EpIdentity, jws: string): Promise<EvidenceReply | null> {
    if (jws.length > MAX_BYTES) return null;
    const said = await this.ports.signatures.verify(from, jws, {
      [typOf('evidence')]: EvidenceMessage,
    });
    if (said === null) return null;
    let tenant = this.tenants.get(from.tenant);
    if (tenant === undefined) {
      tenant = new Batcher(async (shown) => {
        const epochs: number[] = [];
        for (const one of shown) epochs.push(await this.look(one));
        return epochs;
      });
      this.tenants.set(from.tenant, tenant);
    }
    return { type: 'evidence-taken', v: 1, epoch: await tenant.add({ from, said }) };
  }

  private async answer(message: BrokerMessage): Promise<void> {
    const from = requestFrom(message);
    if (from === null || !this.ports.turn.isMine(from.reply)) return;
    const reply = await this.take(from, Buffer.from(message.data).toString('latin1'));
    if (reply !== null) this.ports.broker.publish(from.reply, JSON.stringify(reply));
  }

  /** @returns the epoch that the database is in afterwards */
  private async look({ from, said }: Shown): Promise<number> {
    const { store } = this.ports;
    const read = said.entries.flatMap((jws) => readEntry(from.tenant, jws) ?? []);
    const verdicts = read.length === 0 ? [] : await store.judge(from.tenant, read);
    const unknown = read.filter((_, at) => verdicts[at] !== 'known');
    const proven = await this.provenEntries(from, unknown);
    await this.openFor(
      from,
      proven.filter((one) => verdicts[read.indexOf(one)] === 'ahead'),
    );
    await this.openForManifest(from, said.manifest);
    if (proven.length > 0) await this.restore(from, proven);
    return store.epoch(from.tenant);
  }

  private async openFor({ tenant }: EpIdentity, ahead: readonly ReadEntry[]): Promise<void> {
    // From the highest place down: the epoch that is opened for it lies above all the others.
    const highest = ahead.toSorted(
      (a, b) => b.entry.epoch - a.entry.epoch || b.entry.seq - a.entry.seq,
    );
    for (const { entry, payload } of highest) {
      const at = { epoch: entry.epoch, seq: entry.seq, digest: digestAfter(payload) };
      if (await this.ports.store.lacks(tenant, at)) await this.ports.continuity.proven(tenant, at);
    }
  }

  /** A snapshot says how far the stream had come, even where nobody kept the entries. */
  private async openForManifest(from: EpIdentity, jws: string | undefined): Promise<void> {
    if (jws === undefined) return;
    const parsed = SnapshotManifest.safeParse(payloadOf(jws));
    if (!parsed.success || parsed.data.tenant !== from.tenant) return;
    const { epoch, seq, digest } = parsed.data;
    const { store, continuity } = this.ports;
    const lacks = await store.lacks(from.tenant, { epoch, seq, digest });
    const former = epoch < (await store.epoch(from.tenant));
    if ((!lacks && !former) || !(await this.isOurs(from, jws, typOf('snapshot')))) return;
    if (lacks) await continuity.proven(from.tenant, { epoch, seq, digest });
    else await store.seen(from.tenant, { epoch, seq });
  }

  private async provenEntries(from: EpIdentity, read: readonly ReadEntry[]): Promise<ReadEntry[]> {
    const proofs = await Promise.all(read.map(({ jws }) => this.isOurs(from, jws, typOf('entry'))));
    return read.filter((_, at) => proofs[at]);
  }

  private async isOurs(from: EpIdentity, jws: string, typ: string): Promise<boolean> {
    const keys = await this.ports.keys.publicKeys(from.tenant, 'stream');
    try {
      const { protectedHeader } = await compactVerify(
        jws,
        async ({ kid }) => {
          const key = keys.find((one) => one.kid === kid);
          if (key === undefined) throw new Error('not a key of this stream');
          return (await importJWK(key as JWK, 'EdDSA')) as CryptoKey;
        },
        { algorithms: ['EdDSA'] },
      );
      if (protectedHeader.typ === typ) return true;
    } catch {
      // Told below, like a wrong typ.
    }
    const { log, events } = this.ports;
    const { tenant, ep } = from;
    const detail = 'it showed as evidence what this control plane did not sign';
    log.error({ alarm: 'bad_signature', tenant, ep }, detail);
    events.alarms.next({ kind: 'bad_signature', tenant, epId: ep, detail });
    return false;
  }

  private async restore({ tenant, ep }: EpIdentity, entries: readonly ReadEntry[]): Promise<void> {
    const { store, relay, log } = this.ports;
    for (let attempt = 1; ; attempt += 1)
      try {
        const restored = await store.restore(tenant, ep, entries);
        relay.committed(tenant, restored.epoch, restored.entries);
        if (restored.entries.length > 0)
          log.error(
            { alarm: 'orders_restored', tenant, ep, orders: restored.orders },
            'orders that the database had lost are committed again, from entries that an enforcement point showed',
          );
        return;
      } catch (error) {
        if (attempt === ATTEMPTS || !AGAIN.test(String((error as { code?: unknown }).code)))
          throw error;
        await delay(20 * attempt);
      }
  }
}

function payloadOf(jws: string): unknown {
  try {
    return JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString());
  } catch {
    return null;
  }
}
