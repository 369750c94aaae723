import { Injectable } from '@nestjs/common';
import type { Position, SnapshotRequest } from '@sever/protocol';
import type { EntityManager } from 'typeorm';
import { UnitOfWork } from '../database/unit-of-work';
import { entryRefusal, type BootFacts, type EntryRefusal } from './boot-rules';

export type Entered =
  | { readonly refused: EntryRefusal }
  | {
      readonly refused: null;
      /** Head of the stream while the boot was stored: its snapshot must not be older. */
      readonly head: Position;
      readonly isNew: boolean;
      /** The process that this one proved to be gone. */
      readonly replaced: string | null;
    };

/**
 * Where boots enter and leave the roster. Both hold the tenant's row of stream_head until commit, so no kill is
 * appended meanwhile: for each kill, a boot is on its roster or has read a snapshot that holds it.
 */
@Injectable()
export class BootStore {
  constructor(private readonly work: UnitOfWork) {}

  /** Stores the boots of these requests, all of one tenant, under one lock. Commits before any snapshot is read. */
  async enter(tenant: string, requests: readonly SnapshotRequest[]): Promise<Entered[]> {
    return this.work.forTenant(tenant, async (manager) => {
      const head = await lockHead(manager, tenant);
      if (head === null) return requests.map(() => ({ refused: 'enforcement_point_unknown' }));
      const rows = await readStanding(manager, tenant, requests);
      const entering = requests.filter((request, n) => entryRefusal(rows[n], request) === null);
      const replaced = await this.store(manager, tenant, head, entering);
      return requests.map((request, n): Entered => {
        const refused = entryRefusal(rows[n], request);
        if (refused !== null) return { refused };
        const gone = request.replaces !== undefined && replaced.has(request.replaces);
        const isNew = rows[n]?.bootEp === null;
        return { refused: null, head, isNew, replaced: gone ? (request.replaces ?? null) : null };
      });
    });
  }

  /** A signed leave: dark from now on, and for earlier kills as well. @returns false when it had left before. */
  async leave(tenant: string, ep: string, bootId: string): Promise<boolean> {
    return this.work.forTenant(tenant, async (manager) => {
      const head = await lockHead(manager, tenant);
      if (head === null) return false;
      const [, count] = await manager.query<[unknown, number]>(
        `UPDATE boot SET left_at = now(), until_epoch = coalesce(until_epoch, $4), until_seq = coalesce(until_seq, $5)
         WHERE tenant = $1 AND ep_id = $2 AND boot_id = $3 AND left_at IS NULL`,
        [tenant, ep, bootId, head.epoch, head.seq],
      );
      return count > 0;
    });
  }

  /** Strict boots that have been silent for so long: no lease of theirs can still run. */
  async retireSilent(
    tenant: string,
    silenceMs: number,
  ): Promise<{ bootId: string; epId: string }[]> {
    return this.work.forTenant(tenant, async (manager) => {
      const head = await lockHead(manager, tenant);
      if (head === null) return [];
      // Asked again under the row's lock: a lease request that came meanwhile has touched it, or will find it retired.
      const [rows] = await manager.query<[{ boot_id: string; ep_id: string }[], number]>(
        `UPDATE boot SET until_epoch = $2, until_seq = $3
         WHERE tenant = $1 AND mode = 'strict' AND until_epoch IS NULL
           AND last_seen_at < now() - make_interval(secs => $4::double precision / 1000)
         RETURNING boot_id, ep_id`,
        [tenant, head.epoch, head.seq, silenceMs],
      );
      return rows.map(({ boot_id, ep_id }) => ({ bootId: boot_id, epId: ep_id }));
    });
  }

  /** A boot that was retired for its silence and speaks again is back on the roster, also of the kills meanwhile. */
  private async store(
    manager: EntityManager,
    tenant: string,
    head: Position,
    requests: readonly SnapshotRequest[],
  ): Promise<ReadonlySet<string>> {
    const column = <T>(of: (request: SnapshotRequest) => T): T[] => requests.map(of);
    const boots = column((request) => request.boot_id);
    const eps = column((request) => request.ep);
    // DISTINCT: two requests of one boot may wait together, and a statement touches a row once.
    await manager.query(
      `INSERT INTO boot (tenant, boot_id, ep_id, mode, abort, since_epoch, since_seq)
       SELECT DISTINCT ON (a.boot_id) $1, a.boot_id, a.ep, a.mode, a.abort, $2::bigint, $3::bigint
       FROM unnest($4::text[], $5::text[], $6::text[], $7::text[]) AS a(boot_id, ep, mode, abort)
       ON CONFLICT (tenant, boot_id) DO UPDATE SET until_epoch = NULL, until_seq = NULL, last_seen_at = now()
       WHERE boot.ep_id = excluded.ep_id AND boot.left_at IS NULL`,
      [
        tenant,
        head.epoch,
        head.seq,
        boots,
        eps,
        column((request) => request.mode),
        column((request) => request.abort),
      ],
    );
    const replacing = requests.filter(
      (request) => request.replaces !== undefined && request.replaces !== request.boot_id,
    );
    if (replacing.length === 0) return new Set();
    const [rows] = await manager.query<[{ boot_id: string }[], number]>(
      `UPDATE boot SET left_at = now(), until_epoch = coalesce(until_epoch, $2), until_seq = coalesce(until_seq, $3)
       FROM unnest($4::text[], $5::text[]) AS a(boot_id, ep)
       WHERE boot.tenant = $1 AND boot.boot_id = a.boot_id AND boot.ep_id = a.ep AND boot.left_at IS NULL
       RETURNING boot.boot_id`,
      [
        tenant,
        head.epoch,
        head.seq,
        replacing.map((request) => request.replaces),
        replacing.map((request) => request.ep),
      ],
    );
    return new Set(rows.map((row) => row.boot_id));
  }
}

async function lockHead(manager: EntityManager, tenant: string): Promise<Position | null> {
  const [row] = await manager.query<{ epoch: string; seq: string }[]>(
    `SELECT epoch, seq FROM stream_head WHERE tenant = $1 FOR UPDATE`,
    [tenant],
  );
  return row ? { epoch: Number(row.epoch), seq: Number(row.seq) } : null;
}

/** A statement of its own, after the lock: it sees every kill that was committed before the lock was granted. */
async function readStanding(
  manager: EntityManager,
  tenant: string,
  requests: readonly SnapshotRequest[],
): Promise<BootFacts[]> {
  return manager.query<BootFacts[]>(
    `SELECT a.n, e.id IS NOT NULL AS known, e.revoked_at IS NOT NULL AS revoked, b.ep_id AS "bootEp", b.mode,
            b.left_at IS NOT NULL AS left
     FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS a(ep, boot_id, n)
     LEFT JOIN enforcement_point e ON e.tenant = $1 AND e.id = a.ep
     LEFT JOIN boot b ON b.tenant = $1 AND b.boot_id = a.boot_id
     ORDER BY a.n`,
    [tenant, requests.map((request) => request.ep), requests.map((request) => request.boot_id)],
  );
}
