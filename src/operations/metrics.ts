import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { Broker } from '../broker/broker';
import { within } from '../database/reach';
import { UnitOfWork } from '../database/unit-of-work';
import { EmergencyBook } from '../revocation/emergency/emergency-book';
import { EmergencyJournal } from '../revocation/emergency/emergency-journal';
import { EnforcementEvents } from '../stream/enforcement-events';

/** A scrape while the database is silent shows everything else. */
const READ_WITHIN_MS = 1_000;

/** What `/metrics` shows. Totals only: no tenant's data is in it. */
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
  constructor(
    work: UnitOfWork,
    broker: Broker,
    emergencies: EmergencyBook,
    journal: EmergencyJournal,
    events: EnforcementEvents,
  ) {
    collectDefaultMetrics({ register: this.registry });
    events.alarms.subscribe(({ kind }) => this.alarms.inc({ kind }));
    const read = async <T>(sql: string): Promise<T[]> =>
      within(READ_WITHIN_MS, work.querySystem<T>(sql)).catch(() => []);
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

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
