import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Halt, isId, newId, parseSubject, typOf, ProblemError } from '@sever/protocol';
import { compactVerify, decodeProtectedHeader, importJWK, type JWK } from 'jose';
import type { Logger } from 'pino';
import type { Subscription } from 'rxjs';
import { HaltKeyStore, type HaltKeyRow } from '../access/halt-key.store';
import { LOG } from '../config/config.module';
import { KillPool } from '../database/kill-pool';
import { EnforcementEvents, type HaltsReported } from '../stream/enforcement-events';
import { Relay } from '../stream/relay';
import type { StoredEntry } from '../stream/stream.store';
import { KillSubjects } from './kill';
import type { Order } from './order';
import { untilCertain } from './until-certain';

const REMEMBERED = 10_000;
/** What cannot be committed is looked at again this late: its key may be registered by then, or its agent known. */
const AGAIN_MS = 60_000;

interface VerifiedHalt {
  readonly halt: Halt;
  readonly key: HaltKeyRow;
  readonly jws: string;
}

/**
 * Takes over the kill orders that enforcement points were given while no control plane was left: each becomes a kill in
 * the database, once, under the id that it was signed with. Until then they show it with every receipt.
 */
@Injectable()
export class Halts implements OnApplicationBootstrap, OnModuleDestroy {
  /** Halts that are done, or not to be tried before that moment of the monotonic clock. */
  private readonly settled = new Map<string, number>();
  private readonly running = new Map<string, Promise<void>>();
  private subscription: Subscription | undefined;

  constructor(
    private readonly keys: HaltKeyStore,
    private readonly kills: KillSubjects,
    private readonly pool: KillPool,
    private readonly relay: Relay,
    private readonly events: EnforcementEvents,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.subscription = this.events.halts.subscribe((reported) => this.hear(reported));
  }

  async onModuleDestroy(): Promise<void> {
    this.subscription?.unsubscribe();
    await Promise.all(this.running.values());
  }

  private hear({ tenant, epId, halts }: HaltsReported): void {
    for (const jws of halts) {
      // The whole text: another signature under the same id is another order.
      const name = `${tenant} ${jws}`;
      if (this.running.has(name) || performance.now() < (this.settled.get(name) ?? 0)) continue;
      const taking = this.take(tenant, epId, jws)
        .then((until) => this.settle(name, until))
        .catch((error: unknown) => {
          this.settle(name, performance.now() + AGAIN_MS / 12);
          this.log.error({ err: error, tenant, ep: epId }, 'a halt could not be committed yet');
        })
        .finally(() => this.running.delete(name));
      this.running.set(name, taking);
    }
  }

  /** @returns the moment before which it need not be looked at again */
  private async take(tenant: string, epId: string, jws: string): Promise<number> {
    const later = performance.now() + AGAIN_MS;
    const found = await this.verified(tenant, jws);
    if (typeof found === 'string') {
      this.alarm('halt_refused', tenant, epId, found);
      return later;
    }
    const { halt, key } = found;
    const order = orderOf(found);
    let fresh: boolean;
    try {
      ({ fresh } = await this.kills.commit(tenant, order));
    } catch (error) {
      if (!(error instanceof ProblemError) || error.status >= 500) throw error;
      this.alarm('halt_refused', tenant, epId, `${halt.kill_id}: ${error.message}`);
      return later;
    }
    await this.close(tenant, epId, order, found);
    const what = `${halt.kill_id} (${halt.subjects.join(', ')}), signed with ${key.name} (${key.id})`;
    // Every replica hears of it, from every enforcement point; one of them was the one.
    if (fresh) this.alarm('halt_used', tenant, epId, what);
    return Infinity;
  }

  /** Every subject gets its own denial, and the id is listed as over until its `not_after`. */
  private async close(
    tenant: string,
    epId: string,
    order: Order,
    { halt, jws }: VerifiedHalt,
  ): Promise<void> {
    const p = JSON.stringify({
      ...{ kill_id: order.id, subjects: halt.subjects, refusal: null },
      ...{ issued_ms: halt.issued_at, not_after_ms: halt.not_after, audit_id: newId('audit') },
      ordered: { ...order, halt: { jws, reported_by: epId } },
    });
    const { epoch, entries } = await untilCertain(async () => {
      const [row] = await this.pool.query<{ answer: Closed }>(
        'SELECT sever_close_emergency($1, $2) AS answer',
        [tenant, p],
      );
      return (row as { answer: Closed }).answer;
    });
    if (epoch !== undefined && entries !== undefined) this.relay.committed(tenant, epoch, entries);
  }

  /** @returns why it does not count, in words */
  private async verified(tenant: string, jws: string): Promise<VerifiedHalt | string> {
    const kid = kidOf(jws);
    const key = kid === undefined ? undefined : await this.keys.byKid(tenant, kid);
    if (key === undefined) return 'signed with a key that is not registered here';
    let halt: Halt;
    try {
      const publicKey = await importJWK(key.public_jwk as JWK, 'EdDSA');
      const { payload, protectedHeader } = await compactVerify(jws, publicKey, {
        algorithms: ['EdDSA'],
      });
      if (protectedHeader.typ !== typOf('halt')) return 'not a halt';
      halt = Halt.parse(JSON.parse(Buffer.from(payload).toString()));
    } catch {
      return 'not signed by the key that it names';
    }
    if (halt.tenant !== tenant) return 'made for another tenant';
    if (!isId('kill', halt.kill_id)) return 'its kill_id is not one';
    if (halt.subjects.some((subject) => parseSubject(subject) === null))
      return `${halt.kill_id} names a subject of no known kind`;
    if (key.revoked_at !== null)
      return `${halt.kill_id} was signed with ${key.name}, a halt key that has been removed; it is enforced where it was taken, until its not_after. Kill what it names, or see to that enforcement point`;
    return { halt, key, jws };
  }

  private settle(name: string, until: number): void {
    this.settled.set(name, until);
    if (this.settled.size > REMEMBERED) this.settled.delete(this.settled.keys().next().value ?? '');
  }

  private alarm(
    kind: 'halt_used' | 'halt_refused',
    tenant: string,
    epId: string,
    detail: string,
  ): void {
    const what = kind === 'halt_used' ? 'a halt was used' : 'a halt is not committed';
    this.log.error({ alarm: kind, tenant, ep: epId, detail }, what);
    this.events.alarms.next({ kind, tenant, epId, detail });
  }
}

interface Closed {
  readonly epoch?: number;
  readonly entries?: StoredEntry[];
}

function orderOf({ halt, key }: VerifiedHalt): Order {
  return {
    ...{ id: halt.kill_id, action: 'kill', only: false, ticket: null, reason: halt.reason },
    subjects: halt.subjects.map((subject) => parseSubject(subject) as { kind: string; id: string }),
    actor: { id: key.id, name: key.name, kind: 'halt_key' },
    caller: { kind: 'operator' },
    idempotency: null,
    audit_id: newId('audit'),
  };
}

function kidOf(jws: string): string | undefined {
  try {
    return decodeProtectedHeader(jws).kid;
  } catch {
    return undefined;
  }
}
