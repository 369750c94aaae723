import { createHash } from 'node:crypto';
import type { SqlTenant } from './sql-tenant';

export interface CommittedEntry {
  readonly epoch: number;
  readonly seq: number;
  readonly payload: string;
  /** Of the chain after it, base64url. */
  readonly digest: string;
  /** When its transaction was committed, microseconds. */
  readonly committed: number;
}

export interface Head {
  readonly epoch: number;
  readonly seq: number;
  readonly digest: string;
}

export const READ_STREAM = `
  SELECT e.epoch::int, e.seq::int, e.payload, sever_base64url(e.digest) AS digest,
         (extract(epoch FROM pg_xact_commit_timestamp(e.xmin)) * 1000000)::float8 AS committed
  FROM stream_entry e WHERE e.tenant = $1 ORDER BY e.epoch, e.seq`;
export const READ_HEAD = `
  SELECT epoch::int, seq::int, sever_base64url(digest) AS digest FROM stream_head WHERE tenant = $1`;

/**
 * What is wrong with a stream: a number that is missing or comes twice, a chain that does not hold, an entry that was
 * committed before the one that it follows, a head that is not the last entry. Reckoned anew from the payloads alone.
 */
export function streamFaults(entries: readonly CommittedEntry[], head: Head): string[] {
  const faults: string[] = [];
  let seq = 0;
  let digest = Buffer.alloc(32).toString('base64url');
  let committed = 0;
  for (const entry of entries) {
    const said = JSON.parse(entry.payload) as { epoch: number; seq: number; digest: string };
    if (entry.seq !== seq + 1) faults.push(`after ${seq} comes ${entry.seq}`);
    if (said.seq !== entry.seq || said.epoch !== entry.epoch)
      faults.push(`entry ${entry.seq} says that it is ${said.epoch}.${said.seq}`);
    if (said.digest !== digest) faults.push(`entry ${entry.seq} does not follow what is before it`);
    digest = createHash('sha256')
      .update(Buffer.from(digest, 'base64url'))
      .update(createHash('sha256').update(entry.payload).digest())
      .digest('base64url');
    if (digest !== entry.digest) faults.push(`entry ${entry.seq} is kept with another digest`);
    if (entry.committed < committed) faults.push(`entry ${entry.seq} was committed too early`);
    ({ seq, committed } = entry);
  }
  if (head.seq !== seq || head.digest !== digest) faults.push(`the head is not at ${seq}`);
  return faults;
}

/** The same of a tenant in the database. */
export async function streamFaultsOf(tenant: SqlTenant): Promise<string[]> {
  const entries = await tenant.read(READ_STREAM, [tenant.id]);
  const [head] = await tenant.read(READ_HEAD, [tenant.id]);
  return streamFaults(entries as unknown as CommittedEntry[], head as unknown as Head);
}
