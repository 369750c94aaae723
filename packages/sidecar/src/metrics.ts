import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Decision, Enforcer } from './enforcer';

/** What `/metrics` shows. One registry per sidecar, so that several live in one process. */
export class Metrics {
  readonly registry = new Registry();
  private readonly decisions = new Counter({
    name: 'sever_sidecar_decisions_total',
    help: 'Decisions by code; allow for those let through',
    labelNames: ['code'] as const,
    registers: [this.registry],
  });
  private readonly wouldDeny = new Counter({
    name: 'sever_sidecar_would_deny_total',
    help: 'Calls let through because their upstream is only observed, by the code that would have refused them',
    labelNames: ['code'] as const,
    registers: [this.registry],
  });
  private readonly stale = new Counter({
    name: 'sever_sidecar_stale_admissions_total',
    help: 'Calls let through without a valid lease (best_effort)',
    registers: [this.registry],
  });
  private readonly cut = new Counter({
    name: 'sever_sidecar_cut_calls_total',
    help: 'Proxied calls cut in flight, by code',
    labelNames: ['code'] as const,
    registers: [this.registry],
  });

  private readonly halts = new Counter({
    name: 'sever_sidecar_halts_total',
    help: 'Halts that came to POST /halt, by what became of them',
    labelNames: ['outcome'] as const,
    registers: [this.registry],
  });
  private readonly reloads = new Counter({
    name: 'sever_sidecar_config_reloads_total',
    help: 'Times sidecar.yaml was read again; refused: the one before stays in force',
    labelNames: ['outcome'] as const,
    registers: [this.registry],
  });
  private readonly alarms = new Counter({
    name: 'sever_sidecar_alarms_total',
    help: 'Alarms by kind; halt for each use of a halt key, whatever road it came by',
    labelNames: ['kind'] as const,
    registers: [this.registry],
  });
  private readonly leftOvers = new Counter({
    name: 'sever_sidecar_left_open_total',
    help: 'Sessions and tasks that agents left open upstream, by what became of ending them',
    labelNames: ['what', 'outcome'] as const,
    registers: [this.registry],
  });

  constructor(enforcer: Pick<Enforcer, 'state'>) {
    this.gauge('sever_sidecar_in_flight', 'Calls in flight', () => enforcer.state().inFlight);
    this.gauge(
      'sever_sidecar_lease_left_seconds',
      'What is left of the lease; 0 without one',
      () => enforcer.state().leaseLeftMs / 1_000,
    );
    this.gauge(
      'sever_sidecar_applied_seq',
      'Newest entry of the revocation stream in force here',
      () => enforcer.state().applied,
    );
    this.gauge('sever_sidecar_epoch', 'Epoch of that entry', () => enforcer.state().epoch);
    this.gauge(
      'sever_sidecar_open_halts',
      'Kill orders enforced without the control plane having closed them',
      () => enforcer.state().halts.length,
    );
    this.gauge(
      'sever_sidecar_call_records_sent',
      'Records of calls that the control plane has taken since the start',
      () => enforcer.state().calls.sent,
    );
    this.gauge(
      'sever_sidecar_call_records_waiting',
      'Records of calls in memory or on the disk, until the control plane takes them',
      () => enforcer.state().calls.waiting + enforcer.state().calls.spooled,
    );
    new Counter({
      name: 'sever_sidecar_call_records_dropped_total',
      help: 'Records of calls that will never arrive, by why',
      labelNames: ['reason'] as const,
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [reason, n] of Object.entries(enforcer.state().calls.dropped))
          this.inc({ reason }, n);
      },
    });
    this.gauge('sever_sidecar_ready', '1 while calls can be let through', () =>
      enforcer.state().ready ? 1 : 0,
    );
    collectDefaultMetrics({ register: this.registry });
  }

  decided(decision: Decision): void {
    this.decisions.inc({ code: decision.decision === 'allow' ? 'allow' : decision.code });
    if (decision.decision === 'deny') return;
    if (decision.stale) this.stale.inc();
    if (decision.wouldDeny !== undefined) this.wouldDeny.inc({ code: decision.wouldDeny });
  }

  halted(outcome: string): void {
    this.halts.inc({ outcome });
  }

  alarmed(kind: string): void {
    this.alarms.inc({ kind });
  }

  leftOver(
    what: 'session' | 'task' | 'any',
    outcome: 'ended' | 'refused' | 'failed' | 'dropped',
  ): void {
    this.leftOvers.inc({ what, outcome });
  }

  reloaded(outcome: 'taken' | 'refused'): void {
    this.reloads.inc({ outcome });
  }

  wasCut(code: string): void {
    this.cut.inc({ code });
  }

  private gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }
}
