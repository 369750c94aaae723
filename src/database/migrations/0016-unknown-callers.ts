import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Records of calls by callers that nobody knows, let through where the policy only observes. */
export class UnknownCallers1000000000016 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE call_record
        ALTER COLUMN agent_id DROP NOT NULL,
        ALTER COLUMN initiator_id DROP NOT NULL,
        ALTER COLUMN credential_id DROP NOT NULL,
        ADD COLUMN remote_address text,
        ADD COLUMN user_agent text`);
    await runner.query(
      `CREATE INDEX call_record_would_deny ON call_record (tenant, started_at DESC, id DESC) WHERE decision = 'would_deny'`,
    );
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
