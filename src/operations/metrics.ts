import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { Broker } from '../broker/broker';
import { UnitOfWork } from '../database/unit-of-work';

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
  constructor(work: UnitOfWork, broker: Broker) {
    collectDefaultMetrics({ register: this.registry });
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
        const rows = await work.querySystem<{ mode: string; n: number }>(
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
        const [row] = await work.querySystem<{ n: number }>(
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
