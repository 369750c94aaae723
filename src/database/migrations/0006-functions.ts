import type { MigrationInterface, QueryRunner } from 'typeorm';
import { FUNCTIONS } from '../functions';

/** The critical transactions. They run with the rights of whoever calls them, so row-level security holds inside. */
export class Functions1000000000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const sql of FUNCTIONS) await runner.query(sql);
    // A refused order frees its idempotency key again.
    await runner.query(`GRANT DELETE ON idempotency_key TO sever_app`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
