import type { MigrationInterface, QueryRunner } from 'typeorm';
import { protectTable } from './protect-table';

/** Public keys under which people may stop things while no control plane is left. The private halves are theirs. */
export class HaltKeys1000000000012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE halt_key (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        name text NOT NULL,
        -- RFC 7638 thumbprint. A key that was removed never returns: enforcement points keep it dead.
        kid text NOT NULL,
        public_jwk jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        revoked_at timestamptz,
        PRIMARY KEY (tenant, id),
        UNIQUE (tenant, kid)
      )`);
    await protectTable(runner, 'halt_key');
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
