import { Injectable } from '@nestjs/common';
import type { Kill } from '@sever/protocol';
import { Gauge, type Registry } from 'prom-client';
import { within } from '../database/reach';
import { UnitOfWork } from '../database/unit-of-work';
import { KillRecords } from '../revocation/kill-records';
import { RevocationStore } from '../revocation/revocation.store';

/** Kills older than this are for the auditors; what is stuck for so long is on somebody's desk. */
const LOOKED_BACK = `interval '24 hours'`;
const MOST_KILLS = 200;
/** Several scrapers ask one database once. */
const FRESH_MS = 5_000;
const READ_WITHIN_MS = 2_000;

interface Standing {
  readonly open: number;
  readonly stuck: number;
}

/**
 * What is not as it should be: kills that are not proven, enforcement points that are silent, orders that somebody could not
 * apply, calls let through without a lease. Read when asked for, from the primary; absent while it does not answer, because an
 * old number would look like a good one.
 */
@Injectable()
export class StandingMetrics {
  private kills: { at: number; standing: Promise<Standing> } | undefined;

  constructor(
    private readonly work: UnitOfWork,
    private readonly store: RevocationStore,
    private readonly records: KillRecords,
  ) {}

  register(registry: Registry): void {
    const kills = (name: string, help: string, of: (standing: Standing) => number): void => {
      const read = () => this.killsStanding().then(of);
      this.gauge(registry, name, help, read);
    };
    kills(
      'sever_kills_open',
      'Kills and suspensions of the last 24 hours that are not contained, stuck ones included.',
      ({ open }) => open,
    );
    kills(
      'sever_kills_stuck',
      'Those for which waiting changes nothing: an enforcement point could not apply the order, or is silent and best-effort.',
      ({ stuck }) => stuck,
    );
    this.count(
      registry,
      'sever_enforcement_point_boots_silent',
      'Processes of enforcement points on the roster that have not asked for a lease for longer than a lease lasts.',
      `SELECT count(*)::int AS n FROM boot b JOIN tenant t ON t.id = b.tenant
       WHERE b.until_epoch IS NULL AND b.left_at IS NULL
         AND b.last_seen_at < now() - make_interval(secs => 5 + t.lease_valid_ms / 1000.0)`,
    );
    this.count(
      registry,
      'sever_nacked_entries',
      'Entries that living processes of enforcement points could not apply, by their newest receipts.',
      `SELECT coalesce(sum(jsonb_array_length(r.nacks)), 0)::int AS n FROM boot b
       JOIN LATERAL (
         SELECT nacks FROM receipt r WHERE r.tenant = b.tenant AND r.boot_id = b.boot_id
         ORDER BY r.epoch DESC, r.applied DESC LIMIT 1) r ON true
       WHERE b.until_epoch IS NULL AND b.left_at IS NULL`,
    );
    this.count(
      registry,
      'sever_stale_admissions',
      'Calls that living processes of best_effort enforcement points have let through without a lease, as they report it.',
      `SELECT coalesce(sum(stale_admissions), 0)::float8 AS n FROM boot WHERE until_epoch IS NULL AND left_at IS NULL`,
    );
    this.count(
      registry,
      'sever_suspensions_standing',
      'Suspensions that have not been lifted, over all tenants.',
      `SELECT count(*)::int AS n FROM revocation WHERE action = 'suspend' AND lifted IS NULL`,
    );
  }

  private count(registry: Registry, name: string, help: string, sql: string): void {
    this.gauge(registry, name, help, async () => {
      const [row] = await within(READ_WITHIN_MS, this.work.querySystem<{ n: number }>(sql));
      return row?.n ?? 0;
    });
  }

  private gauge(registry: Registry, name: string, help: string, read: () => Promise<number>): void {
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        const value = await read().catch(() => null);
        if (value === null) this.remove();
        else this.set(value);
      },
    });
  }

  private killsStanding(): Promise<Standing> {
    const now = performance.now();
    if (this.kills === undefined || now - this.kills.at > FRESH_MS) {
      const standing = within(READ_WITHIN_MS, this.read());
      standing.catch(() => (this.kills = undefined));
      this.kills = { at: now, standing };
    }
    return this.kills.standing;
  }

  private async read(): Promise<Standing> {
    const recent = await this.work.querySystem<{ tenant: string; ids: string[] }>(
      `SELECT tenant, array_agg(id) AS ids FROM (
         SELECT tenant, id FROM revocation
         WHERE action <> 'complete' AND created_at > now() - ${LOOKED_BACK} ORDER BY created_at DESC LIMIT ${MOST_KILLS}
       ) r GROUP BY tenant`,
    );
    const kills: Kill[] = [];
    for (const { tenant, ids } of recent)
      kills.push(...(await this.records.toKills(tenant, await this.store.several(tenant, ids))));
    const open = kills.filter(({ state }) => state !== 'contained');
    return { open: open.length, stuck: open.filter(isStuck).length };
  }
}

function isStuck({ containment: { nack, unknown } }: Kill): boolean {
  return nack.length > 0 || unknown.length > 0;
}
