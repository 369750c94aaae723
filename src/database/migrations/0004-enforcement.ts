import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Enforcement points, their processes, and what they signed. */
export class Enforcement1000000000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE enforcement_point (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        name text NOT NULL,
        mode text NOT NULL CHECK (mode IN ('strict', 'best_effort')),
        abort text NOT NULL CHECK (abort IN ('stream', 'signal', 'none')),
        kid text NOT NULL,
        public_jwk jsonb NOT NULL,
        nats_public_key text NOT NULL,
        access_key_hash bytea NOT NULL UNIQUE,
        lease_key_sealed bytea NOT NULL,
        enrolment_key_id text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz,
        PRIMARY KEY (tenant, id),
        UNIQUE (tenant, kid)
      )`);
    await runner.query(`
      CREATE TABLE enrolment_proof (
        tenant text NOT NULL REFERENCES tenant,
        jti text NOT NULL,
        used_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, jti)
      )`);
    await runner.query(`
      CREATE TABLE boot (
        tenant text NOT NULL REFERENCES tenant,
        boot_id text NOT NULL,
        ep_id text NOT NULL,
        mode text NOT NULL CHECK (mode IN ('strict', 'best_effort')),
        abort text NOT NULL CHECK (abort IN ('stream', 'signal', 'none')),
        since_epoch bigint NOT NULL,
        since_seq bigint NOT NULL,
        until_epoch bigint,
        until_seq bigint,
        -- Signed leave, or a successor's proof that this process is gone: dark, also for earlier kills.
        left_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, boot_id),
        FOREIGN KEY (tenant, ep_id) REFERENCES enforcement_point
      )`);
    await runner.query(`CREATE INDEX boot_ep ON boot (tenant, ep_id)`);
    await runner.query(`CREATE INDEX boot_roster ON boot (tenant, until_epoch, until_seq)`);
    // Cumulative: one row for each step that a boot has taken, the first of them that covers a kill is its receipt.
    await runner.query(`
      CREATE TABLE receipt (
        tenant text NOT NULL REFERENCES tenant,
        boot_id text NOT NULL,
        epoch bigint NOT NULL,
        applied bigint NOT NULL,
        ep_id text NOT NULL,
        held_ms double precision NOT NULL,
        in_flight jsonb NOT NULL,
        nacks jsonb NOT NULL,
        digest text NOT NULL,
        jws text NOT NULL,
        received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        replica text NOT NULL,
        received_mono_ms double precision NOT NULL,
        PRIMARY KEY (tenant, boot_id, epoch, applied),
        FOREIGN KEY (tenant, boot_id) REFERENCES boot
      )`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
