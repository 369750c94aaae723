import type { EmergencyEvents, EmergencyTold } from './emergency-events';
import type { Replica } from './replica';

/** An incident has a handful; of more than this only the newest are told again to those who come late. */
const MOST_OPEN = 1_000;

/**
 * The emergencies that this process would tell a listener who has not heard them, in the order in which they came.
 * Places among them mean something to this process alone, so they carry its name.
 */
export class OpenEmergencies {
  private readonly open = new Map<string, Map<string, EmergencyTold & { readonly n: number }>>();
  private n = 0;

  constructor(
    events: EmergencyEvents,
    private readonly replica: Replica,
  ) {
    events.told.subscribe((emergency) => this.add(emergency));
    events.closed.subscribe(({ tenant, killId }) => void this.open.get(tenant)?.delete(killId));
  }

  /** Those after a place that an earlier answer named; all of them for another replica's place, or none. */
  since(tenant: string, heard: string | undefined): { emergencies: string[]; heard: string } {
    const [source, n] = heard?.split('.') ?? [];
    const after = source === this.replica.id ? Number(n) : 0;
    const now = this.replica.wall();
    const found = [...(this.open.get(tenant)?.values() ?? [])].filter(
      (one) => one.n > after && one.notAfter > now,
    );
    return { emergencies: found.map(({ jws }) => jws), heard: `${this.replica.id}.${this.n}` };
  }

  private add(emergency: EmergencyTold): void {
    const ofTenant = this.open.get(emergency.tenant) ?? new Map<string, never>();
    this.open.set(emergency.tenant, ofTenant);
    // A longer list of subjects under the same id is news; the same message heard again is not.
    if (ofTenant.get(emergency.killId)?.jws === emergency.jws) return;
    this.n += 1;
    ofTenant.delete(emergency.killId);
    ofTenant.set(emergency.killId, { ...emergency, n: this.n });
    if (ofTenant.size > MOST_OPEN) ofTenant.delete(ofTenant.keys().next().value ?? '');
  }
}
