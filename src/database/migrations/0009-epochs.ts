import type { MigrationInterface, QueryRunner } from 'typeorm';
import { protectTable } from './protect-table';

/** Which database this is, when it was found to have gone back, and what was committed again since. */
export class Epochs1000000000009 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Travels with every copy: a copy that runs as another cluster, or on another timeline, finds what it no longer is.
    await runner.query(`
      CREATE TABLE database_identity (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        system_identifier text NOT NULL,
        timeline bigint NOT NULL
      )`);
    await runner.query(`GRANT SELECT, INSERT, UPDATE ON database_identity TO sever_system`);
    await runner.query(`
      CREATE TABLE epoch_opening (
        tenant text NOT NULL REFERENCES tenant,
        epoch bigint NOT NULL,
        opened_at timestamptz NOT NULL,
        because text NOT NULL,
        former_epoch bigint NOT NULL,
        former_seq bigint NOT NULL,
        -- The highest place known to have been signed before; it grows with the evidence.
        seen_epoch bigint,
        seen_seq bigint,
        -- The longest lease that boots which this database has forgotten may hold.
        lease_valid_ms integer NOT NULL,
        -- Some replica has waited that long, and its margin, on its own monotonic clock.
        settled_at timestamptz,
        PRIMARY KEY (tenant, epoch)
      )`);
    await protectTable(runner, 'epoch_opening');
    // An entry of a former epoch that was shown with its signature, and where its order stands now. hash: two entries may
    // have had one place, when a database was written on before it was known to have gone back.
    await runner.query(`
      CREATE TABLE restored_entry (
        tenant text NOT NULL REFERENCES tenant,
        epoch bigint NOT NULL,
        seq bigint NOT NULL,
        hash bytea NOT NULL,
        opening bigint NOT NULL,
        order_id text NOT NULL,
        -- Of a lift: the id that never returns.
        lifts text,
        payload text NOT NULL,
        shown_by text NOT NULL,
        restored_at timestamptz NOT NULL,
        now_epoch bigint NOT NULL,
        -- null: there was nothing left to append.
        now_seq bigint,
        PRIMARY KEY (tenant, epoch, seq, hash)
      )`);
    await protectTable(runner, 'restored_entry');
    await runner.query(
      `CREATE INDEX restored_entry_lift ON restored_entry (tenant, lifts) WHERE lifts IS NOT NULL`,
    );
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
