import type { MigrationInterface, QueryRunner } from 'typeorm';
import { protectTable } from './protect-table';

/** Orders of every kind: what else an order says, which kills of a subject stand, and who has undone what. */
export class Orders1000000000008 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE revocation
        ADD COLUMN level text,
        ADD COLUMN in_flight text NOT NULL DEFAULT 'abort',
        ADD COLUMN expires_at timestamptz,
        ADD COLUMN hold_until timestamptz,
        ADD COLUMN resolved jsonb,
        ADD COLUMN matched integer,
        ADD COLUMN nearest jsonb,
        ADD COLUMN warnings jsonb NOT NULL DEFAULT '[]',
        ADD COLUMN refused_since bigint NOT NULL DEFAULT 0,
        -- Each {at, by, reason}.
        ADD COLUMN lifted jsonb,
        ADD COLUMN escalated jsonb,
        ADD COLUMN reinstated jsonb`);
    await runner.query(
      `CREATE INDEX revocation_expiry ON revocation (expires_at) WHERE expires_at IS NOT NULL AND lifted IS NULL`,
    );
    // One row for each subject that a kill keeps dead; a reinstatement must name them all.
    await runner.query(`
      CREATE TABLE standing_kill (
        tenant text NOT NULL REFERENCES tenant,
        subject text NOT NULL,
        order_id text NOT NULL,
        released_at timestamptz,
        PRIMARY KEY (tenant, subject, order_id)
      )`);
    await protectTable(runner, 'standing_kill');
    await runner.query(`CREATE INDEX standing_kill_order ON standing_kill (tenant, order_id)`);
    await runner.query(`
      INSERT INTO standing_kill (tenant, subject, order_id)
      SELECT s.tenant, s.subject, s.floor_order FROM subject s
      WHERE s.generation < s.floor AND s.floor_action = 'kill' ON CONFLICT DO NOTHING`);
    // New roots that a service may not start for an initiator until then.
    await runner.query(`
      CREATE TABLE root_hold (
        tenant text NOT NULL REFERENCES tenant,
        order_id text NOT NULL,
        service_id text NOT NULL,
        initiator_id text NOT NULL,
        until timestamptz NOT NULL,
        PRIMARY KEY (tenant, service_id, initiator_id, order_id)
      )`);
    await protectTable(runner, 'root_hold');
    // On the wire a suspension is lifted whole; what remains of an order then goes on under another id.
    await runner.query(`ALTER TABLE suspension ADD COLUMN wire_id text`);
    await runner.query(`UPDATE suspension SET wire_id = order_id`);
    await runner.query(`ALTER TABLE suspension ALTER COLUMN wire_id SET NOT NULL`);
    await runner.query(
      `ALTER TABLE tenant ADD COLUMN undo_window_ms integer NOT NULL DEFAULT 900000 CHECK (undo_window_ms BETWEEN 0 AND 86400000)`,
    );
    await runner.query(`ALTER TABLE enforcement_point ADD COLUMN revoked_by text`);
    await runner.query(`ALTER TABLE enrolment_key ADD COLUMN revoked_by text`);
    await runner.query(`ALTER TABLE agent ADD COLUMN trace_id text`);
    await runner.query(
      `CREATE INDEX agent_trace ON agent (tenant, trace_id) WHERE trace_id IS NOT NULL`,
    );
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
