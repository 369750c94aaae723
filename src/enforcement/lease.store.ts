import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../database/unit-of-work';
import { LONG_SILENCE_MS, type LeaseFacts, type LeaseQuestion } from './lease-rules';

/** What one statement on the primary says about a lease request. */
export interface LeaseStanding extends LeaseFacts {
  readonly sealedKey: Buffer;
}

interface Row {
  n: string;
  epoch: string;
  seq: string;
  lease_valid_ms: number;
  now: string;
  standby: boolean;
  lease_key_sealed: Buffer;
  revoked: boolean;
  living_mode: string | null;
  long_silent: boolean | null;
  digest: Buffer | null;
}

const CHAIN_START = Buffer.alloc(32);

@Injectable()
export class LeaseStore {
  constructor(private readonly work: UnitOfWork) {}

  /**
   * One statement for everybody who waits. Isolation: a single statement has a single snapshot, begun after each of the
   * requests arrived; a head from any earlier moment could lie before a kill that the asker has not heard of.
   *
   * @returns `null` where there is no such enforcement point
   */
  async read(questions: readonly LeaseQuestion[]): Promise<(LeaseStanding | null)[]> {
    const rows = await this.work.querySystem<Row>(
      `SELECT a.n, h.epoch, h.seq, t.lease_valid_ms,
              floor(extract(epoch FROM statement_timestamp()) * 1000) AS now, pg_is_in_recovery() AS standby,
              e.lease_key_sealed, e.revoked_at IS NOT NULL AS revoked,
              CASE WHEN b.until_epoch IS NULL AND b.left_at IS NULL THEN b.mode END AS living_mode,
              b.last_seen_at < now() - interval '${LONG_SILENCE_MS} milliseconds' AS long_silent,
              s.digest
       FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
            WITH ORDINALITY AS a(tenant, ep, boot_id, epoch, applied, n)
       JOIN enforcement_point e ON e.tenant = a.tenant AND e.id = a.ep
       JOIN tenant t ON t.id = a.tenant
       JOIN stream_head h ON h.tenant = a.tenant
       LEFT JOIN boot b ON b.tenant = a.tenant AND b.boot_id = a.boot_id AND b.ep_id = a.ep
       LEFT JOIN stream_entry s ON s.tenant = a.tenant AND s.epoch = h.epoch AND s.epoch = a.epoch AND s.seq = a.applied`,
      [
        questions.map(({ tenant }) => tenant),
        questions.map(({ ep }) => ep),
        questions.map(({ request }) => request.boot_id),
        questions.map(({ request }) => request.epoch),
        questions.map(({ request }) => request.applied),
      ],
    );
    if (rows.some((row) => row.standby)) throw new Error('leases are only given on the primary');
    const standings: (LeaseStanding | null)[] = questions.map(() => null);
    for (const row of rows) {
      const at = Number(row.n) - 1;
      const request = questions[at]?.request;
      const start = request?.applied === 0 && request.epoch === Number(row.epoch);
      standings[at] = {
        epoch: Number(row.epoch),
        head: Number(row.seq),
        validMs: row.lease_valid_ms,
        now: Number(row.now),
        sealedKey: row.lease_key_sealed,
        revoked: row.revoked,
        livingMode: row.living_mode,
        longSilent: row.long_silent ?? false,
        digest: (start ? CHAIN_START : row.digest)?.toString('base64url') ?? null,
      };
    }
    return standings;
  }

  /** @returns false when the boot has been retired meanwhile: then it gets no lease. */
  async renew(tenant: string, bootId: string): Promise<boolean> {
    const [, count] = (await this.work.querySystem(
      `UPDATE boot SET last_seen_at = now() WHERE tenant = $1 AND boot_id = $2 AND until_epoch IS NULL`,
      [tenant, bootId],
    )) as unknown as [unknown, number];
    return count > 0;
  }
}
