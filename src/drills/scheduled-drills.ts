import { setTimeout as delay } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { runDrill, SeverClient, type DrillResult } from '@sever/cli';
import { randomUUID } from 'node:crypto';
import type { AddressInfo, Server } from 'node:net';
import type { Logger } from 'pino';
import { LentKeys } from '../access/lent-keys';
import { LOG } from '../config/config.module';
import { DrillEvents } from './drill-events';
import { DrillStore, type DrillRow } from './drill.store';

const LOOK_MS = 1_000;

/**
 * Carries drills out: as an outsider, over the API of this replica and the listeners of the enforcement points, with the same
 * code as `sever drill`. Every replica looks for work; the database gives each drill to one of them.
 */
@Injectable()
export class ScheduledDrills implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private readonly closing = new AbortController();

  constructor(
    private readonly store: DrillStore,
    private readonly keys: LentKeys,
    private readonly events: DrillEvents,
    private readonly host: HttpAdapterHost,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => {
      this.running ??= this.look().finally(() => (this.running = undefined));
    }, LOOK_MS);
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.timer);
    this.closing.abort();
    await this.running;
  }

  private async look(): Promise<void> {
    try {
      for (
        let due = await this.store.takeDue();
        due !== undefined && !this.closing.signal.aborted;
        due = await this.store.takeDue()
      )
        await this.carryOut(due);
    } catch (error) {
      this.log.warn({ err: error }, 'could not look for drills; trying again');
    }
  }

  private async carryOut(drill: DrillRow): Promise<void> {
    const at = new Date().toISOString();
    const { tenant, id } = drill;
    try {
      const result = await this.run(drill);
      await this.store.keep(drill, {
        at,
        passed: result.passed,
        kill_id: result.kill?.id ?? null,
        enforcement_points: result.enforcement_points.map((point) => ({
          via: point.via,
          id: point.id,
          name: point.name,
          verdict: point.verdict,
          refused_after_sent_ms: point.refused_after_sent_ms,
          quarantined_by: point.quarantined_by,
        })),
        error: null,
      });
      this.judge(drill, result);
      this.events.ended.next({ tenant, drillId: id, result });
    } catch (error) {
      if (this.closing.signal.aborted) return;
      this.log.error({ err: error, tenant, drill_id: id }, 'a drill could not be carried out');
      const why = error instanceof Error ? error.message : String(error);
      const outcome = { at, passed: false, kill_id: null, enforcement_points: [], error: why };
      await this.store.keep(drill, outcome);
      this.events.ended.next({ tenant, drillId: id, result: null });
    }
  }

  private async run(drill: DrillRow): Promise<DrillResult> {
    const { id, name } = await this.store.service(drill.tenant);
    const lent = this.keys.lend({
      tenant: drill.tenant,
      id,
      name,
      roles: new Set(['service', 'responder']),
    });
    try {
      return await runDrill(
        new SeverClient({ url: this.ownUrl(), key: lent.key }),
        {
          via: drill.via,
          boundMs: drill.bound_ms,
          quarantine: drill.quarantine,
          name: `drill-${drill.id.slice(-6)}-${randomUUID().slice(0, 8)}`,
        },
        {
          fetch: globalThis.fetch,
          delay: (ms) => delay(ms, undefined, { signal: this.closing.signal }),
          newIdempotencyKey: randomUUID,
        },
        (text) => this.log.debug({ drill_id: drill.id }, text),
      );
    } finally {
      lent.end();
    }
  }

  private judge({ tenant, id }: DrillRow, result: DrillResult): void {
    for (const point of result.enforcement_points) {
      if (point.verdict === 'refused') continue;
      const fields = { tenant, drill_id: id, kill_id: result.kill?.id, ...point };
      if (point.verdict === 'lying')
        this.log.error(fields, 'an enforcement point has confirmed a kill and still admits');
      else this.log.warn(fields, 'an enforcement point did not pass a drill');
    }
  }

  private ownUrl(): string {
    const { port } = (this.host.httpAdapter.getHttpServer() as Server).address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }
}
