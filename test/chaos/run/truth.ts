import type { Lineage } from '@sever/protocol';
import { knownOp, type Entry } from '@sever/protocol';
import type { CommitEvent } from '../history/events';
import type { Client, QueryResultRow } from 'pg';
import { now } from './tap';

export interface Queryable {
  connect(): Promise<Client>;
  query<T extends QueryResultRow>(text: string, values?: unknown[]): Promise<T[]>;
}

/** What the database holds in the end, read past every cache and proxy. */
export interface Truth {
  readonly head: { epoch: number; seq: number };
  readonly orders: ReadonlySet<string>;
  isDead(lineage: Lineage): boolean;
}

export async function readTruth(database: Queryable, tenant: string): Promise<Truth> {
  const [head] = await database.query<{ epoch: string; seq: string }>(
    `SELECT epoch, seq FROM stream_head WHERE tenant = $1`,
    [tenant],
  );
  const floors = await database.query<{ subject: string; floor: string }>(
    `SELECT subject, floor FROM subject WHERE tenant = $1`,
    [tenant],
  );
  const suspended = await database.query<{ subject: string }>(
    `SELECT subject FROM suspension WHERE tenant = $1 AND lifted_at IS NULL
       AND coalesce(level, 'deny_all') <> 'deny_spawn'`,
    [tenant],
  );
  const orders = await database.query<{ id: string }>(`SELECT id FROM revocation`);
  const floorOf = new Map(floors.map(({ subject, floor }) => [subject, Number(floor)]));
  const stopped = new Set(suspended.map(({ subject }) => subject));
  return {
    head: { epoch: Number(head?.epoch), seq: Number(head?.seq) },
    orders: new Set(orders.map(({ id }) => id)),
    isDead: (lineage) =>
      lineage.some(
        ([subject, generation]) => generation < (floorOf.get(subject) ?? 1) || stopped.has(subject),
      ),
  };
}

/** The whole stream as events of the history, each at the latest moment that its commit can have had. */
export async function readCommits(database: Queryable, tenant: string): Promise<CommitEvent[]> {
  const offset = await wallToShared(database);
  const rows = await database.query<{
    payload: string;
    digest: Buffer;
    committed: string;
    lease: number | null;
  }>(
    `SELECT e.payload, e.digest, r.lease_valid_ms AS lease,
            floor(extract(epoch FROM pg_xact_commit_timestamp(e.xmin)) * 1000000)::text AS committed
     FROM stream_entry e LEFT JOIN revocation r ON r.tenant = e.tenant AND r.id = e.order_id
     WHERE e.tenant = $1 ORDER BY e.epoch, e.seq`,
    [tenant],
  );
  return rows.map(({ payload, digest, committed, lease }) => {
    const entry = JSON.parse(payload) as Entry;
    return {
      kind: 'commit',
      at: BigInt(committed) * 1_000n + offset,
      order: entry.kill_id,
      position: { epoch: entry.epoch, seq: entry.seq },
      digest: digest.toString('base64url'),
      leaseMs: lease ?? 0,
      ...denialOf(entry),
    };
  });
}

function denialOf(entry: Entry): Pick<CommitEvent, 'does' | 'subject' | 'floor' | 'level'> {
  const op = knownOp(entry);
  switch (op?.op) {
    case 'floor':
      return { does: 'floor', subject: op.subject, floor: op.generation };
    case 'suspend':
      return {
        ...{ does: 'suspend', subject: op.subject },
        ...(op.level !== undefined && { level: op.level }),
      };
    case 'lift':
      return { does: 'lift', subject: op.id };
    default: {
      const { subject } = entry.op as { subject?: unknown };
      return { does: 'other', subject: typeof subject === 'string' ? subject : '' };
    }
  }
}

/** What must be added to the database's wall clock, in nanoseconds, to be not before the shared one. */
async function wallToShared(database: Queryable): Promise<bigint> {
  const client = await database.connect();
  try {
    let least: bigint | null = null;
    for (let time = 0; time < 10; time += 1) {
      const { rows } = await client.query<{ wall: string }>(
        `SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::text AS wall`,
      );
      const offset = now() - BigInt(rows[0]?.wall ?? '0') * 1_000n;
      if (least === null || offset < least) least = offset;
    }
    return least ?? 0n;
  } finally {
    await client.end();
  }
}
