import type { MigrationInterface, QueryRunner } from 'typeorm';
import { protectTable } from './protect-table';

/** Orders that were announced while the database was away, and what became of each once it was back. */
export class Emergencies1000000000010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE emergency (
        tenant text NOT NULL REFERENCES tenant,
        kill_id text NOT NULL,
        -- As they were announced, on the wire.
        subjects jsonb NOT NULL,
        -- The order as it was taken; of a refused one nothing else remains.
        ordered jsonb NOT NULL,
        -- merged: the same Idempotency-Key had made another order, which stands in its place.
        state text NOT NULL CHECK (state IN ('committed', 'refused', 'merged')),
        refusal jsonb,
        issued_at timestamptz NOT NULL,
        not_after timestamptz NOT NULL,
        closed_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, kill_id)
      )`);
    await protectTable(runner, 'emergency');
    await runner.query(`CREATE INDEX emergency_not_after ON emergency (tenant, not_after)`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
