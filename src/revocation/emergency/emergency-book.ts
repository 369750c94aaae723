import { Injectable } from '@nestjs/common';
import { EmergencyEvents } from '../../stream/emergency-events';
import { StandingEmergencies } from '../../stream/standing-emergencies';
import { KillEvents } from '../kill-events';
import type { Order } from '../order';
import type { OpenEmergency } from './emergency-order';

/** The emergencies that stand, as this process knows them: taken by itself, heard from another, or found in a journal. */
@Injectable()
export class EmergencyBook {
  private readonly open = new Map<string, OpenEmergency>();
  private opened = 0;

  constructor(
    private readonly standing: StandingEmergencies,
    private readonly events: EmergencyEvents,
    private readonly kills: KillEvents,
  ) {}

  get size(): number {
    return this.open.size;
  }

  /** Emergencies that this process has taken itself since it started. */
  get taken(): number {
    return this.opened;
  }

  all(): OpenEmergency[] {
    return [...this.open.values()];
  }

  find(tenant: string, killId: string): OpenEmergency | undefined {
    const found = this.open.get(killId);
    return found?.tenant === tenant ? found : undefined;
  }

  /** The order that this Idempotency-Key has made already. */
  byKey(tenant: string, asked: Order['idempotency']): OpenEmergency | undefined {
    if (asked === null) return undefined;
    return this.all().find(({ tenant: other, order: { idempotency } }) => {
      const { key, principal_id } = idempotency ?? {};
      return other === tenant && key === asked.key && principal_id === asked.principal_id;
    });
  }

  add(emergency: OpenEmergency): OpenEmergency {
    const { tenant, order } = emergency;
    const present = this.open.get(order.id);
    if (present !== undefined) return present;
    this.open.set(order.id, emergency);
    if (emergency.own) this.opened += 1;
    this.standing.stand(tenant, order.id, emergency.subjects);
    this.kills.changed(tenant, order.id);
    return emergency;
  }

  /** Committed or refused, and the stream says so. */
  close(tenant: string, killId: string): void {
    if (!this.open.delete(killId)) return;
    this.standing.close(tenant, killId);
    this.events.closed.next({ tenant, killId });
    this.kills.changed(tenant, killId);
  }
}
