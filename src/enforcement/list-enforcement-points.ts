import {
  formatPosition,
  ProblemError,
  type EnforcementPointInfo,
  type EnforcementPointSelf,
  type List,
  type Serves,
} from '@sever/protocol';
import { type Cursors } from '../access/cursors';
import { type Enrol } from './enrol';
import { type EnforcementPointStore, type StoredBoot } from './enforcement-point.store';

/** Reads of enforcement points: all of a tenant, and one about itself. */
export class ListEnforcementPoints {
  constructor(
    private readonly store: EnforcementPointStore,
    private readonly enrol: Enrol,
    private readonly cursors: Cursors,
  ) {}

  async list(
    tenant: string,
    query: { cursor?: string | undefined; limit: number },
  ): Promise<List<EnforcementPointInfo>> {
    const place = { tenant, list: 'enforcement points' };
    const after = this.cursors.read(place, query.cursor) ?? '';
    const rows = await this.store.page(tenant, after, query.limit + 1);
    const page = this.cursors.page(place, rows, query.limit, (last) => last.id);
    const boots = await this.store.boots(
      tenant,
      page.items.map(({ id }) => id),
    );
    return {
      ...page,
      items: page.items.map(({ id, name, mode, abort, created_at, serves }) => ({
        ...{ id, name, mode, abort, serves },
        created_at: created_at.toISOString(),
        boots: boots.filter((boot) => boot.ep_id === id).map(toBoot),
      })),
    };
  }

  async serves(tenant: string, id: string, serves: Serves): Promise<void> {
    await this.store.keepServes(tenant, id, serves);
  }

  /** Where to connect now: ports and keys may have changed since the enrolment. */
  async self(tenant: string, id: string): Promise<EnforcementPointSelf> {
    const point = await this.store.one(tenant, id);
    if (point === undefined)
      throw new ProblemError('not_found', 'This enforcement point does not exist any more.');
    const { name, mode } = point;
    const user = { publicKey: point.nats_public_key, issuedAt: Number(point.user_issued_at) };
    return { id, tenant, name, mode, ...(await this.enrol.access(tenant, { id, name, user })) };
  }
}

function toBoot(boot: StoredBoot): EnforcementPointInfo['boots'][number] {
  return {
    boot_id: boot.boot_id,
    mode: boot.mode,
    since: formatPosition({ epoch: Number(boot.since_epoch), seq: Number(boot.since_seq) }),
    applied:
      boot.applied_epoch === null
        ? null
        : formatPosition({ epoch: Number(boot.applied_epoch), seq: Number(boot.applied_seq) }),
    last_seen_at: boot.last_seen_at.toISOString(),
    state: boot.state,
    stale_admissions: Number(boot.stale_admissions),
    nacks: (boot.nacks ?? []).map(({ seq, error }) => ({ seq, error })),
  };
}
