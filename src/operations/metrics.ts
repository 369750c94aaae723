import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { Broker } from '../broker/broker';
import { CallStats } from '../calls/call-stats';
import { Continuity } from '../database/continuity';
import { within } from '../database/reach';
import { UnitOfWork } from '../database/unit-of-work';
import { DrillEvents, type DrillResult } from '../drills/drill-events';
import { EmergencyBook } from '../revocation/emergency/emergency-book';
import { EmergencyJournal } from '../revocation/emergency/emergency-journal';
import { EnforcementEvents } from '../stream/enforcement-events';
import { EpochStore } from '../stream/epoch.store';
import { StandingMetrics } from './standing-metrics';

/** A scrape while the database is silent shows everything else. */
const READ_WITHIN_MS = 1_000;

/** What `/metrics` shows. Totals; of tenants only their ids and the names of their enforcement points. */
@Injectable()
export class Metrics {
  private readonly registry = new Registry();

  readonly requests = new Histogram({
    name: 'sever_http_request_seconds',
    help: 'Time from request to reply, by route and status.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [this.registry],
  });
  private readonly alarms = new Counter({
    name: 'sever_alarms_total',
    help: 'What somebody should look at, by kind, as this replica has seen it; its log says what.',
    labelNames: ['kind'],
    registers: [this.registry],
  });
  private readonly killToDeny = new Histogram({
    name: 'sever_kill_to_deny_seconds',
    help: 'From the order of a drill to the refusal, as seen from outside at an enforcement point; upper bounds.',
    labelNames: ['tenant', 'enforcement_point'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10],
    registers: [this.registry],
  });
  private readonly drills = new Counter({
    name: 'sever_drills_total',
    help: 'Drills by what came of them: passed, failed, or not carried out.',
    labelNames: ['tenant', 'outcome'],
    registers: [this.registry],
  });
  private readonly verdicts = new Counter({
    name: 'sever_drill_failures_total',
    help: 'Enforcement points that did not pass a drill: late, admits, unheard, or lying (confirmed the kill and still admits).',
    labelNames: ['tenant', 'enforcement_point', 'verdict'],
    registers: [this.registry],
  });
  constructor(
    work: UnitOfWork,
    broker: Broker,
    emergencies: EmergencyBook,
    journal: EmergencyJournal,
    events: EnforcementEvents,
    continuity: Continuity,
    epochs: EpochStore,
    drills: DrillEvents,
    standing: StandingMetrics,
    calls: CallStats,
  ) {
    standing.register(this.registry);
    calls.register(this.registry);
    collectDefaultMetrics({ register: this.registry });
    drills.ended.subscribe((drill) => this.drilled(drill.tenant, drill.result));
    events.alarms.subscribe(({ kind }) => this.alarms.inc({ kind }));
    const read = async <T>(sql: string): Promise<T[]> =>
      within(READ_WITHIN_MS, work.querySystem<T>(sql)).catch(() => []);
    new Counter({
      name: 'sever_epoch_changes_total',
      help: 'Times that this replica has found the database gone back, over all tenants, by what showed it.',
      labelNames: ['because'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [because, times] of Object.entries(continuity.opened))
          this.inc({ because }, times);
      },
    });
    new Gauge({
      name: 'sever_lost_entries',
      help: 'Places of revocation streams that a restored database has lost and no enforcement point has shown.',
      registers: [this.registry],
      async collect() {
        this.set(await within(READ_WITHIN_MS, epochs.countLost()).catch(() => NaN));
      },
    });
    new Gauge({
      name: 'sever_emergency_kills_open',
      help: 'Kills that were announced without the database and are not committed yet, as this replica knows them.',
      registers: [this.registry],
      collect() {
        this.set(emergencies.size);
      },
    });
    new Counter({
      name: 'sever_emergency_kills_total',
      help: 'Kills that this replica has taken without the database.',
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(emergencies.taken);
      },
    });
    new Gauge({
      name: 'sever_emergency_journal_refused_lines',
      help: 'Lines of the journal of emergencies that were changed by somebody else, found at the start.',
      registers: [this.registry],
      collect() {
        this.set(journal.refusedLines);
      },
    });
    new Gauge({
      name: 'sever_broker_connected',
      help: '1 while the control plane is connected to NATS.',
      registers: [this.registry],
      collect() {
        this.set(broker.isConnected() ? 1 : 0);
      },
    });
    new Gauge({
      name: 'sever_enforcement_point_boots',
      help: 'Processes of enforcement points on the roster, by mode.',
      labelNames: ['mode'],
      registers: [this.registry],
      async collect() {
        this.reset();
        const rows = await read<{ mode: string; n: number }>(
          `SELECT mode, count(*)::int AS n FROM boot WHERE until_epoch IS NULL AND left_at IS NULL GROUP BY mode`,
        );
        for (const { mode, n } of rows) this.set({ mode }, n);
      },
    });
    new Gauge({
      name: 'sever_stream_entries',
      help: 'Entries committed to revocation streams, over all tenants.',
      registers: [this.registry],
      async collect() {
        const [row] = await read<{ n: number }>(
          `SELECT coalesce(sum(seq), 0)::float8 AS n FROM stream_head`,
        );
        this.set(row?.n ?? 0);
      },
    });
  }

  private drilled(tenant: string, result: DrillResult | null): void {
    this.drills.inc({ tenant, outcome: outcomeOf(result) });
    for (const point of result?.enforcement_points ?? []) {
      const labels = { tenant, enforcement_point: point.name ?? point.via };
      if (point.refused_after_sent_ms !== null)
        this.killToDeny.observe(labels, point.refused_after_sent_ms / 1_000);
      if (point.verdict !== 'refused') this.verdicts.inc({ ...labels, verdict: point.verdict });
    }
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}

function outcomeOf(result: DrillResult | null): 'passed' | 'failed' | 'not_carried_out' {
  if (result === null) return 'not_carried_out';
  return result.passed ? 'passed' : 'failed';
}
