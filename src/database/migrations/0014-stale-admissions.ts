import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What best_effort enforcement points have let through without a lease, as their receipts say. */
export class StaleAdmissions1000000000014 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE boot ADD COLUMN stale_admissions bigint NOT NULL DEFAULT 0`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
