import { Injectable } from '@nestjs/common';
import { newId } from '@sever/protocol';
import { Failpoints } from '../config/failpoints';
import { KillPool } from '../database/kill-pool';
import type { SqlRefusal } from '../lineage/refusal';
import { Relay } from '../stream/relay';
import type { StoredEntry } from '../stream/stream.store';
import { KillEvents } from './kill-events';
import { untilCertain } from './until-certain';

export interface Actor {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
}

type Lifted = SqlRefusal | { already: true } | Appended;
type Reinstated =
  SqlRefusal | ({ generation: number | null; created_at: string } & Partial<Appended>);
interface Appended {
  epoch: number;
  entries: StoredEntry[];
}

/** Commits what undoes an order, and rings the doorbell. Over the connections of kills, so neither waits for agents. */
@Injectable()
export class ReleaseOrders {
  constructor(
    private readonly pool: KillPool,
    private readonly relay: Relay,
    private readonly events: KillEvents,
    private readonly failpoints: Failpoints,
  ) {}

  async lift(
    tenant: string,
    asked: { id: string; reason: string; actor: Actor; own_only: boolean; expiry?: boolean },
  ): Promise<Lifted> {
    await this.failpoints.hit('lift.before_commit');
    const answer = await this.call<Lifted>('sever_lift', tenant, asked);
    await this.failpoints.hit('lift.after_commit');
    this.spread(tenant, answer, [asked.id]);
    return answer;
  }

  async reinstate(
    tenant: string,
    asked: { kind: string; subject_id: string; kill_ids: string[]; reason: string; actor: Actor },
  ): Promise<Reinstated> {
    await this.failpoints.hit('reinstate.before_commit');
    const answer = await this.call<Reinstated>('sever_reinstate', tenant, asked);
    await this.failpoints.hit('reinstate.after_commit');
    this.spread(tenant, answer, asked.kill_ids);
    return answer;
  }

  private call<T>(name: string, tenant: string, asked: object): Promise<T> {
    const parameters = JSON.stringify({ ...asked, audit_id: newId('audit') });
    return untilCertain(async () => {
      const [row] = await this.pool.query<{ answer: T }>(`SELECT ${name}($1, $2) AS answer`, [
        tenant,
        parameters,
      ]);
      return (row as { answer: T }).answer;
    });
  }

  private spread(tenant: string, answer: object, orders: readonly string[]): void {
    if ('problem' in answer) return;
    const { epoch, entries } = answer as Partial<Appended>;
    if (epoch !== undefined && entries !== undefined && entries.length > 0)
      this.relay.committed(tenant, epoch, entries);
    for (const id of orders) this.events.changed(tenant, id);
  }
}
