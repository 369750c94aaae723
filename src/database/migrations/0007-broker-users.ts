import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which users at the broker were ever given out, and up to when what they hold must be refused there. */
export class BrokerUsers1000000000007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // `iat` of every JWT of the present enrolment, seconds since 1970; it grows with each enrolment. What the broker
    // holds of earlier enrolments is then older, whatever the clocks of the replicas say.
    await runner.query(`
      ALTER TABLE enforcement_point ADD COLUMN user_issued_at bigint NOT NULL
        DEFAULT floor(extract(epoch FROM clock_timestamp()))`);
    // One user, one enforcement point, over all tenants: else the end of one would be the end of another.
    await runner.query(`
      CREATE TABLE broker_user (
        nats_public_key text PRIMARY KEY,
        tenant text NOT NULL REFERENCES tenant,
        ep_id text NOT NULL,
        -- JWTs issued up to this second are dead; null: none has been replaced.
        revoked_through bigint,
        created_at timestamptz NOT NULL DEFAULT now()
      )`);
    await runner.query(`ALTER TABLE broker_user ENABLE ROW LEVEL SECURITY`);
    await runner.query(`ALTER TABLE broker_user FORCE ROW LEVEL SECURITY`);
    await runner.query(`
      CREATE POLICY own_tenant ON broker_user TO sever_app
        USING (tenant = current_setting('app.tenant', true))
        WITH CHECK (tenant = current_setting('app.tenant', true))`);
    await runner.query(
      `CREATE POLICY every_tenant ON broker_user TO sever_system USING (true) WITH CHECK (true)`,
    );
    await runner.query(`GRANT SELECT, INSERT, UPDATE ON broker_user TO sever_app, sever_system`);
    // Row-level security is forced on the owner too: only the system sees the rows of every tenant.
    await runner.query(`SET LOCAL ROLE sever_system`);
    await runner.query(`
      INSERT INTO broker_user (nats_public_key, tenant, ep_id)
      SELECT nats_public_key, tenant, id FROM enforcement_point ORDER BY revoked_at NULLS FIRST, created_at
      ON CONFLICT DO NOTHING`);
    await runner.query(`RESET ROLE`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
