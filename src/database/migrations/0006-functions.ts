import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the functions need beyond reading and writing; they themselves are made anew after all migrations. */
export class Functions1000000000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // A refused order frees its idempotency key again.
    await runner.query(`GRANT DELETE ON idempotency_key TO sever_app`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
