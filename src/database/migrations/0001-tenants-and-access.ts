import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Two roles of the cluster; the tenant, and who may call the API. */
export class TenantsAndAccess1000000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Roles belong to the cluster and outlive a database, so another database may have made them already, even now.
    for (const role of ['sever_app', 'sever_system'])
      await runner.query(`
        DO $$ BEGIN
          CREATE ROLE ${role} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$`);
    await runner.query(`
      DO $$ BEGIN
        GRANT sever_app, sever_system TO CURRENT_USER;
      EXCEPTION WHEN unique_violation OR internal_error THEN NULL; -- granted by another database's migration meanwhile
      END $$`);
    await runner.query(`GRANT USAGE ON SCHEMA public TO sever_app, sever_system`);

    await runner.query(`
      CREATE TABLE tenant (
        id text PRIMARY KEY,
        name text NOT NULL UNIQUE,
        -- The iss of its tokens, settled at the first start; tokens outlive a change of port.
        issuer text,
        lease_valid_ms integer NOT NULL DEFAULT 10000 CHECK (lease_valid_ms BETWEEN 2000 AND 600000),
        -- Leases given under the former policy are still out for a while: containment counts with the longer one.
        lease_valid_ms_before integer NOT NULL DEFAULT 10000,
        lease_changed_at timestamptz NOT NULL DEFAULT now(),
        created_at timestamptz NOT NULL DEFAULT now()
      )`);
    await runner.query(`
      CREATE TABLE principal (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        role text NOT NULL,
        name text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, id)
      )`);
    await runner.query(`
      CREATE TABLE api_key (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        principal_id text NOT NULL,
        role text NOT NULL,
        name text NOT NULL,
        hash bytea NOT NULL UNIQUE,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        last_used_at timestamptz,
        revoked_at timestamptz,
        PRIMARY KEY (tenant, id),
        FOREIGN KEY (tenant, principal_id) REFERENCES principal
      )`);
    await runner.query(`
      CREATE TABLE enrolment_key (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        name text NOT NULL,
        hash bytea NOT NULL UNIQUE,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        last_used_at timestamptz,
        revoked_at timestamptz,
        PRIMARY KEY (tenant, id)
      )`);
    await runner.query(`
      CREATE TABLE signing_key (
        tenant text NOT NULL REFERENCES tenant,
        kid text NOT NULL,
        purpose text NOT NULL CHECK (purpose IN ('token', 'stream')),
        state text NOT NULL CHECK (state IN ('next', 'live', 'previous', 'dead')),
        public_jwk jsonb NOT NULL,
        sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, kid)
      )`);
    await runner.query(
      `CREATE UNIQUE INDEX signing_key_live ON signing_key (tenant, purpose) WHERE state = 'live'`,
    );
    await runner.query(`
      CREATE TABLE audit_record (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        at timestamptz NOT NULL,
        action text NOT NULL,
        record text NOT NULL,
        hash bytea NOT NULL,
        PRIMARY KEY (tenant, id)
      )`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
