import type { Logger } from 'pino';
import { Client, escapeLiteral, type ClientBase } from 'pg';
import type { HighWater, Mark } from './high-water';

/** An epoch that was opened because the database had gone back. */
export interface OpenedEpoch {
  readonly tenant: string;
  readonly epoch: number;
  readonly because: 'system_identifier' | 'timeline' | 'published' | 'evidence';
  readonly former_epoch: number;
  readonly former_seq: number;
  readonly seen_epoch: number | null;
  readonly seen_seq: number | null;
}

export interface ContinuityOptions {
  readonly databaseUrl: string;
  readonly highWater: HighWater;
  readonly log: Logger;
  /** Only tests may say false, to show what it is for. */
  readonly enabled: boolean;
}

/**
 * Sees to it that nothing is served from a database that has gone back before a new epoch is open. A database can only
 * be exchanged under a running process together with its connections, so every new connection asks this before it does
 * anything else; the relay asks again with each look, for what an intermediary between the two may hide.
 */
export class Continuity {
  /** Epochs that this process has opened, by cause. */
  readonly opened: Record<string, number> = {};

  constructor(private readonly options: ContinuityOptions) {}

  /** Before the first connection of a pool is opened. @throws when the database cannot be asked */
  async check(): Promise<void> {
    await this.connected((client) => this.ask(client));
  }

  /** For the `verify` of a pool: a connection that cannot be asked is not used. */
  readonly verify = (client: ClientBase, done: (error?: Error) => void): void => {
    // The pool has stopped listening, and whoever will use the connection does not listen yet: lost in between, and heard
    // by nobody, it would end the process. The question itself fails all the same.
    client.on('error', () => undefined);
    this.ask(client).then(
      () => done(),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  };

  /** A place that is committed, and about to be told to somebody. */
  committed(tenant: string, mark: Mark): void {
    this.options.highWater.raise(tenant, mark);
  }

  /** What is known to have been committed, as of now. */
  known(): ReadonlyMap<string, Mark> {
    return new Map(this.options.enabled ? this.options.highWater.entries() : []);
  }

  /** An entry or a snapshot, signed by the control plane itself, that the database does not hold. */
  async proven(tenant: string, mark: Mark): Promise<void> {
    if (!this.options.enabled) return;
    const { leaseMs } = this.options.highWater.get(tenant) ?? {};
    await this.connected((client) =>
      this.ask(client, [{ tenant, ...mark, lease_ms: leaseMs, because: 'evidence' }]),
    );
    // Not before: the relay would take it for something that this replica has published.
    this.options.highWater.raise(tenant, mark);
  }

  private async connected(work: (client: Client) => Promise<void>): Promise<void> {
    const client = new Client({
      connectionString: this.options.databaseUrl,
      application_name: 'sever-epochs',
      connectionTimeoutMillis: 5_000,
      query_timeout: 15_000,
    });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await work(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** In one round trip, under the role that sees every tenant and for this transaction alone. */
  private async ask(client: ClientBase, more: readonly object[] = []): Promise<void> {
    if (!this.options.enabled) return;
    const marks = [...this.options.highWater.entries()].map(
      ([tenant, { epoch, seq, digest, leaseMs }]) => ({
        ...{ tenant, epoch, seq, digest, lease_ms: leaseMs },
      }),
    );
    const proven = new Set(more.map((one) => (one as { tenant: string }).tenant));
    const all = [...marks.filter(({ tenant }) => !proven.has(tenant)), ...more];
    const results = (await client.query(
      `BEGIN; SET LOCAL ROLE sever_system;
       SELECT sever_keep_continuity(${escapeLiteral(JSON.stringify(all))}) AS opened; COMMIT`,
    )) as unknown as { rows: { opened: OpenedEpoch[] }[] }[];
    for (const epoch of results.flatMap(({ rows }) => rows).flatMap(({ opened }) => opened))
      this.tell(epoch);
  }

  private tell(epoch: OpenedEpoch): void {
    this.opened[epoch.because] = (this.opened[epoch.because] ?? 0) + 1;
    this.options.log.error(
      { alarm: 'database_went_back', ...epoch },
      'the database has gone back: a new epoch is open, and enforcement points are asked for what it has lost',
    );
  }
}
