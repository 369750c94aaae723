import type { MigrationInterface, QueryRunner } from 'typeorm';
import { protectTable } from './protect-table';

/** Kills of canaries on a schedule. */
export class Drills1000000000013 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE drill (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        via text[] NOT NULL,
        every_ms integer NOT NULL CHECK (every_ms >= 10000),
        bound_ms integer NOT NULL,
        quarantine boolean NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        next_at timestamptz NOT NULL DEFAULT now(),
        last jsonb,
        ended_at timestamptz,
        PRIMARY KEY (tenant, id)
      )`);
    await protectTable(runner, 'drill');
    await runner.query(`CREATE INDEX drill_due ON drill (next_at) WHERE ended_at IS NULL`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
