import type { MigrationInterface, QueryRunner } from 'typeorm';
import { protectTable } from './protect-table';

const TABLES = [
  'principal',
  'api_key',
  'enrolment_key',
  'signing_key',
  'audit_record',
  'subject',
  'initiator',
  'task',
  'agent',
  'agent_quota',
  'scope_grant',
  'issue_clock',
  'credential',
  'stream_head',
  'stream_entry',
  'revocation',
  'suspension',
  'idempotency_key',
  'cascade_member',
  'enforcement_point',
  'enrolment_proof',
  'boot',
  'receipt',
];

/**
 * A second wall behind the composite keys: `sever_app` sees and writes only rows of the tenant that its unit of work
 * has named. `sever_system` (relay, look-up of a key before the tenant is known) sees all.
 */
export class RowLevelSecurity1000000000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await protectTable(runner, 'tenant', 'id');
    for (const table of TABLES) await protectTable(runner, table);
    // The audit trail is only ever added to.
    await runner.query(`REVOKE UPDATE ON audit_record FROM sever_app, sever_system`);
    // The few rows that may go: spent idempotency keys and proofs, compacted entries.
    await runner.query(
      `GRANT DELETE ON idempotency_key, enrolment_proof, stream_entry TO sever_system`,
    );
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
