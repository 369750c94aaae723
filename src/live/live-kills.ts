import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Kill, LiveReceipt } from '@sever/protocol';
import type { Logger } from 'pino';
import { LOG } from '../config/config.module';
import { EnforcementEvents } from '../stream/enforcement-events';
import { KillEvents } from '../revocation/kill-events';
import { KillRecords } from '../revocation/kill-records';

interface Audience {
  kill(tenant: string, kill: Kill): void;
  receipt(tenant: string, receipt: LiveReceipt): void;
  watched(tenant: string): boolean;
}

const NOBODY: Pick<Audience, 'kill' | 'receipt'> = {
  kill: () => undefined,
  receipt: () => undefined,
};

/** Changes of one kill within this time are told at once, together. */
const GATHER_MS = 40;
/** A kill that is not contained is looked at again this often, because time alone darkens an enforcement point. */
const RECHECK_MS = 1_000;
/** Of more kills than this only the newest are followed: in a storm, consoles read the lists. */
const FOLLOW_MOST = 200;
/** A kill that nobody watched when it happened is not told as if it happened now: whoever comes later reads the lists. */
const NEWS_MS = 2_000;
/** After this the record is still true, but nobody is told of it any more by itself. */
const FOLLOW_MS = 15 * 60_000;

/** Follows kills that are not contained yet, and tells what changed in their records. Reads only while somebody watches. */
@Injectable()
export class LiveKills implements OnModuleDestroy {
  private readonly followed = new Map<
    string,
    { tenant: string; since: number; told: Map<string, string> }
  >();
  private readonly due = new Set<string>();
  private audience: Audience | undefined;
  private gather: NodeJS.Timeout | undefined;
  private recheck: NodeJS.Timeout | undefined;

  constructor(
    private readonly kills: KillEvents,
    private readonly enforcement: EnforcementEvents,
    private readonly records: KillRecords,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  start(audience: Audience): void {
    this.audience = audience;
    this.kills.onChanged((tenant, id) => {
      this.follow(tenant, id);
      this.soon(id);
    });
    this.enforcement.receipts.subscribe(({ tenant }) => this.allOf(tenant));
    this.enforcement.boots.subscribe(({ tenant }) => this.allOf(tenant));
    this.recheck = setInterval(() => this.allOf(), RECHECK_MS);
  }

  onModuleDestroy(): void {
    clearTimeout(this.gather);
    clearInterval(this.recheck);
  }

  private follow(tenant: string, id: string): void {
    if (this.followed.has(id)) return;
    this.followed.set(id, { tenant, since: performance.now(), told: new Map() });
    const [oldest] = this.followed.keys();
    if (this.followed.size > FOLLOW_MOST && oldest !== undefined) this.followed.delete(oldest);
  }

  private allOf(tenant?: string): void {
    for (const [id, followed] of this.followed) {
      if (performance.now() - followed.since > FOLLOW_MS) this.followed.delete(id);
      else if (tenant === undefined || followed.tenant === tenant) this.soon(id);
    }
  }

  private soon(id: string): void {
    this.due.add(id);
    this.gather ??= setTimeout(() => {
      this.gather = undefined;
      const ids = [...this.due];
      this.due.clear();
      for (const one of ids) void this.tell(one);
    }, GATHER_MS);
  }

  private async tell(id: string): Promise<void> {
    const followed = this.followed.get(id);
    if (!followed || !this.audience?.watched(followed.tenant)) return;
    const { tenant, told } = followed;
    const isOld = told.size === 0 && performance.now() - followed.since > NEWS_MS;
    const audience = isOld ? NOBODY : this.audience;
    try {
      const { kill, receipts } = await this.records.withReceipts(tenant, id);
      for (const receipt of receipts) {
        if (told.get(receipt.boot_id) === receipt.status) continue;
        told.set(receipt.boot_id, receipt.status);
        audience.receipt(tenant, {
          kill_id: id,
          enforcement_point: {
            id: receipt.enforcement_point.id,
            name: receipt.enforcement_point.name,
          },
          boot_id: receipt.boot_id,
          status: receipt.status,
          latency_ms: receipt.latency_ms,
        });
      }
      const shown = JSON.stringify(kill);
      if (told.get('') !== shown) {
        told.set('', shown);
        audience.kill(tenant, kill);
      }
      if (kill.state === 'contained' && kill.cascade.state === 'done') this.followed.delete(id);
    } catch (error) {
      this.log.warn({ err: error, kill_id: id }, 'could not tell consoles of a kill');
    }
  }
}
