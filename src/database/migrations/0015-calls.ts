import type { MigrationInterface, QueryRunner } from 'typeorm';
import { protectTable } from './protect-table';

/** Records of calls, a partition for each day: they go by whole days, and so do not leave gaps behind. */
export class Calls1000000000015 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Who and what it names may be known elsewhere first (an agent that an enforcement point discovered), hence no keys
    // to other tables. `day` follows from started_at, in UTC.
    await runner.query(`
      CREATE TABLE call_record (
        tenant text NOT NULL,
        day date NOT NULL,
        id text NOT NULL,
        enforcement_point_id text NOT NULL,
        started_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        duration_ms double precision NOT NULL,
        agent_id text NOT NULL,
        chain text[] NOT NULL,
        initiator_id text NOT NULL,
        service_id text,
        task_ids text[] NOT NULL,
        credential_id text NOT NULL,
        upstream text,
        tool text,
        method text,
        path text,
        decision text NOT NULL,
        code text,
        stale boolean NOT NULL,
        outcome text NOT NULL,
        kill_id text,
        bytes_in bigint NOT NULL,
        bytes_out bigint NOT NULL,
        status integer,
        trace_id text,
        span_id text,
        arguments_hash text,
        arguments text,
        PRIMARY KEY (tenant, day, id)
      ) PARTITION BY RANGE (day)`);
    await protectTable(runner, 'call_record');
    // A record is written once.
    await runner.query(`REVOKE UPDATE ON call_record FROM sever_app, sever_system`);
    const newestFirst = 'started_at DESC, id DESC';
    await runner.query(`CREATE INDEX call_record_newest ON call_record (tenant, ${newestFirst})`);
    for (const column of ['initiator_id', 'agent_id', 'tool'])
      await runner.query(
        `CREATE INDEX call_record_${column} ON call_record (tenant, ${column}, ${newestFirst})`,
      );
    for (const column of ['trace_id', 'kill_id'])
      await runner.query(
        `CREATE INDEX call_record_${column} ON call_record (tenant, ${column}, ${newestFirst}) WHERE ${column} IS NOT NULL`,
      );
    // Ids of agents and of tasks differ by their prefix, so one index finds both.
    await runner.query(
      `CREATE INDEX call_record_above ON call_record USING gin ((chain || task_ids))`,
    );
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
