/**
 * Emergencies that this process knows to stand, with their subjects: what a snapshot lists beside what is committed. An
 * enforcement point that starts between the outage and the commit learns of them from there.
 */
export class StandingEmergencies {
  private readonly standing = new Map<string, Map<string, readonly string[]>>();

  of(tenant: string): ReadonlyMap<string, readonly string[]> {
    return this.standing.get(tenant) ?? new Map();
  }

  stand(tenant: string, killId: string, subjects: readonly string[]): void {
    const ofTenant = this.standing.get(tenant) ?? new Map<string, readonly string[]>();
    this.standing.set(tenant, ofTenant.set(killId, subjects));
  }

  close(tenant: string, killId: string): void {
    this.standing.get(tenant)?.delete(killId);
  }
}
