import type { Logger } from 'pino';
import { Client, Pool, type PoolClient } from 'pg';
import type { Continuity } from './continuity';
import { within } from './reach';

const APPLICATION = 'sever-kill';
/** How long a kill waits for the fence or the head of the stream before whoever holds it is terminated. */
const PATIENCE_MS = 1_000;
const RETRY_MS = 250;
/** Nobody listens there, or whoever does takes no orders: it starts up, shuts down, or has crashed. */
const REFUSED = /^(ECONNREFUSED|57P0[123])$/;
const READERS = 4;
/** A kill waits no longer than this for a connection. */
const CONNECT_WITHIN_MS = 1_500;
/**
 * The connection itself may take longer, and is there for the next one. Were it given up with the kill that asked for it, a
 * server too busy to open connections in time would be asked for more of them all the time, and never get rid of the load.
 */
const OPEN_WITHIN_MS = 10_000;
/**
 * A server that says nothing for so long is given up with its connection, and the order is sent again over another under
 * the same id: if the first one happens after all, the second finds it.
 */
const ANSWER_WITHIN_MS = 10_000;
const READ_WITHIN_MS = 2_000;

/**
 * Terminates whoever a kill waits for, through any chain of waiters; other kills are left alone, for what they wait for
 * is found through them. A kill outranks spawns.
 */
const TERMINATE_HOLDERS = `
  WITH RECURSIVE holder(pid) AS (
    SELECT unnest(pg_blocking_pids($1))
    UNION
    SELECT unnest(pg_blocking_pids(holder.pid)) FROM holder
  )
  SELECT holder.pid, pg_terminate_backend(holder.pid) AS terminated
  FROM holder JOIN pg_stat_activity a ON a.pid = holder.pid
  WHERE a.application_name <> '${APPLICATION}'`;

/**
 * Connections that only kills use, for the order itself and for what is read around it, so that no amount of agent traffic takes them, and one more that frees the way when a
 * kill has waited too long. That one stays the login user: `pg_terminate_backend` compares with the holder's login role.
 */
export class KillPool {
  private readonly pool: Pool;
  private readonly readers: Pool;
  private terminator: Client | undefined;
  private readonly refusalListeners = new Set<() => void>();
  private committedAt = -Infinity;
  private answeredAt = -Infinity;

  constructor(
    private readonly databaseUrl: string,
    private readonly size: number,
    private readonly log: Logger,
    continuity?: Pick<Continuity, 'verify'>,
  ) {
    const verified = continuity && { verify: continuity.verify };
    this.pool = new Pool({
      connectionString: databaseUrl,
      application_name: APPLICATION,
      max: this.size,
      min: 1,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: OPEN_WITHIN_MS,
      query_timeout: ANSWER_WITHIN_MS,
      options: '-c role=sever_app -c synchronous_commit=on -c jit=off',
      ...verified,
    });
    this.readers = new Pool({
      connectionString: databaseUrl,
      application_name: `${APPLICATION}-reads`,
      max: READERS,
      idleTimeoutMillis: 0,
      connectionTimeoutMillis: OPEN_WITHIN_MS,
      query_timeout: READ_WITHIN_MS,
      options: '-c role=sever_system -c statement_timeout=15000 -c jit=off',
      ...verified,
    });
    for (const pool of [this.pool, this.readers]) {
      pool.on('error', (error) => {
        if (!pool.ending) this.log.warn({ err: error }, 'idle kill connection lost');
      });
      // One that is lost while it is in use tells it twice: to its statement, and to whoever listens; without a listener
      // the process would end with the database.
      pool.on('connect', (client) => {
        client.on('error', () => undefined);
      });
    }
  }

  /** One autocommit statement; whoever holds what it needs is terminated after a second. */
  async query<T extends object>(sql: string, parameters: unknown[]): Promise<T[]> {
    const client = await this.connect();
    const watch = this.watch(client);
    try {
      const { rows } = await client.query<T>(sql, parameters);
      client.release();
      this.committedAt = this.answeredAt = performance.now();
      return rows;
    } catch (error) {
      client.release(isConnectionSpent(error));
      throw error;
    } finally {
      watch.stop();
    }
  }

  /**
   * One statement around a kill: who orders it, what is known of it, who has answered. Kept apart from agent traffic like
   * the kill itself. Sees every tenant: the statement must name its own.
   */
  async read<T extends object>(sql: string, parameters: unknown[]): Promise<T[]> {
    const client = await take(this.readers);
    try {
      const { rows } = await client.query<T>(sql, parameters);
      client.release();
      this.answeredAt = performance.now();
      return rows;
    } catch (error) {
      client.release(isConnectionSpent(error));
      throw error;
    }
  }

  /** How long ago the database has carried a kill out, and how long ago it has answered anything here; milliseconds. */
  quiet(): { kills: number; everything: number } {
    const now = performance.now();
    return { kills: now - this.committedAt, everything: now - this.answeredAt };
  }

  /** Told when a kill finds nobody listening where the database was. @returns how to stop listening */
  onRefused(listener: () => void): () => void {
    this.refusalListeners.add(listener);
    return () => this.refusalListeners.delete(listener);
  }

  /**
   * Opens every connection and rehearses a kill on it. One that fails, or that a busy database does not open in time, costs
   * the first kill some milliseconds; it must not keep the control plane from starting.
   */
  async rehearse(): Promise<void> {
    const notRehearsed = (error: unknown): void =>
      this.log.warn({ err: error }, 'could not rehearse a kill');
    await Promise.all([
      ...Array.from({ length: this.size }, (_, at) => this.rehearseOn(at).catch(notRehearsed)),
      this.openReaders().catch(notRehearsed),
    ]);
  }

  private async rehearseOn(at: number): Promise<void> {
    const client = await this.pool.connect();
    try {
      await client.query('SELECT sever_rehearse($1)', [`rehearsal-${process.pid}-${at}`]);
    } finally {
      client.release();
    }
  }

  /** Connecting takes longer than what is read; the first kill should not wait for it. */
  private async openReaders(): Promise<void> {
    const readers = Array.from({ length: READERS }, () => this.readers.connect());
    const opened = await Promise.allSettled(readers);
    for (const reader of opened) if (reader.status === 'fulfilled') reader.value.release();
    await Promise.all(readers);
  }

  async close(): Promise<void> {
    await Promise.all([this.pool.end(), this.readers.end()]);
    await this.terminator?.end();
  }

  private async connect(): Promise<PoolClient> {
    try {
      return await take(this.pool);
    } catch (error) {
      if (REFUSED.test(String((error as { code?: unknown }).code)))
        for (const listener of [...this.refusalListeners]) listener();
      throw error;
    }
  }

  private watch(client: PoolClient): { stop(): void } {
    const pid = (client as PoolClient & { processID: number }).processID;
    let timer: NodeJS.Timeout | undefined;
    const after = (ms: number): void => {
      timer = setTimeout(
        () => void this.terminateHoldersOf(pid).then(() => timer && after(RETRY_MS)),
        ms,
      );
    };
    after(PATIENCE_MS);
    return {
      stop: () => {
        clearTimeout(timer);
        timer = undefined;
      },
    };
  }

  private async terminateHoldersOf(pid: number): Promise<void> {
    try {
      const client = await this.terminatorClient();
      const { rows } = await client.query<{ pid: number; terminated: boolean }>(TERMINATE_HOLDERS, [
        pid,
      ]);
      this.answeredAt = performance.now();
      for (const row of rows)
        this.log.warn(
          { holder: row.pid, terminated: row.terminated },
          'terminated a holder that kept a kill waiting',
        );
    } catch (error) {
      this.log.error({ err: error }, 'could not free the way for a waiting kill');
      void this.terminator?.end().catch(() => undefined);
      this.terminator = undefined;
    }
  }

  private async terminatorClient(): Promise<Client> {
    if (this.terminator === undefined) {
      const client = new Client({
        connectionString: this.databaseUrl,
        application_name: 'sever-terminator',
        statement_timeout: 2_000,
        connectionTimeoutMillis: CONNECT_WITHIN_MS,
        query_timeout: 2_500,
      });
      client.on('error', () => (this.terminator = undefined));
      await client.connect();
      this.terminator = client;
    }
    return this.terminator;
  }
}

/** @throws DatabaseSilentError when none is there in time; one that comes later goes back to the pool */
async function take(pool: Pool): Promise<PoolClient> {
  const opening = pool.connect();
  try {
    return await within(CONNECT_WITHIN_MS, opening);
  } catch (error) {
    opening.then(
      (late) => late.release(),
      () => undefined,
    );
    throw error;
  }
}

/** What Postgres itself refuses has a code, and leaves the connection as good as it was. */
function isConnectionSpent(error: unknown): boolean {
  return error instanceof Error && !('code' in error);
}
