import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Orders, and the gapless stream that tells enforcement points of them. */
export class RevocationStream1000000000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE stream_head (
        tenant text PRIMARY KEY REFERENCES tenant,
        epoch bigint NOT NULL DEFAULT 1,
        seq bigint NOT NULL DEFAULT 0,
        digest bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
        -- Range requests below it are answered "compacted": take a snapshot.
        compacted_below bigint NOT NULL DEFAULT 1
      ) WITH (fillfactor = 50)`);
    // digest: the chain's value after this entry. payload: signed byte for byte by whoever publishes it.
    await runner.query(`
      CREATE TABLE stream_entry (
        tenant text NOT NULL REFERENCES tenant,
        epoch bigint NOT NULL,
        seq bigint NOT NULL,
        order_id text NOT NULL,
        payload text NOT NULL,
        digest bytea NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (tenant, epoch, seq)
      )`);
    await runner.query(`
      CREATE TABLE revocation (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        action text NOT NULL CHECK (action IN ('kill', 'suspend', 'complete')),
        subjects jsonb NOT NULL,
        not_found jsonb NOT NULL DEFAULT '[]',
        reason text NOT NULL,
        ticket text,
        created_at timestamptz NOT NULL,
        created_by jsonb NOT NULL,
        epoch bigint NOT NULL,
        first_seq bigint NOT NULL,
        last_seq bigint NOT NULL,
        -- The longest lease that can have been out at the commit; what "provably dark" is reckoned with.
        lease_valid_ms integer NOT NULL,
        cascade_state text NOT NULL DEFAULT 'pending' CHECK (cascade_state IN ('pending', 'running', 'done')),
        cascade_agents integer,
        cascade_credentials integer,
        -- Monotonic clock of the replica that committed it; latencies are only reckoned against the same clock.
        replica text,
        committed_mono_ms double precision,
        PRIMARY KEY (tenant, id)
      )`);
    await runner.query(`CREATE INDEX revocation_position ON revocation (tenant, epoch, last_seq)`);
    await runner.query(
      `CREATE INDEX revocation_cascade ON revocation (tenant, id) WHERE cascade_state <> 'done'`,
    );
    await runner.query(`
      CREATE TABLE suspension (
        tenant text NOT NULL REFERENCES tenant,
        order_id text NOT NULL,
        subject text NOT NULL,
        level text,
        epoch bigint NOT NULL,
        seq bigint NOT NULL,
        lifted_at timestamptz,
        PRIMARY KEY (tenant, order_id, subject)
      )`);
    await runner.query(
      `CREATE INDEX suspension_standing ON suspension (tenant, subject) WHERE lifted_at IS NULL`,
    );
    await runner.query(`
      CREATE TABLE idempotency_key (
        tenant text NOT NULL REFERENCES tenant,
        principal_id text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        order_id text NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, principal_id, key)
      )`);
    await runner.query(`
      CREATE TABLE cascade_member (
        tenant text NOT NULL REFERENCES tenant,
        order_id text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('agent', 'credential', 'grant')),
        member_id text NOT NULL,
        agent_id text,
        expanded boolean NOT NULL DEFAULT false,
        PRIMARY KEY (tenant, order_id, kind, member_id)
      )`);
    await runner.query(
      `CREATE INDEX cascade_member_todo ON cascade_member (tenant, order_id, member_id) WHERE NOT expanded AND kind = 'agent'`,
    );
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
