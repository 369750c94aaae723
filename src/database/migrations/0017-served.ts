import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What enforcement points say that they stand before. */
export class Served1000000000017 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE enforcement_point ADD COLUMN serves jsonb`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
