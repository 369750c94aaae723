import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Subjects with their generations and floors; agents, and what they hold. */
export class SpawnTree1000000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // A subject without a row has generation 1 and floor 1. Dead means: a generation below the floor.
    await runner.query(`
      CREATE TABLE subject (
        tenant text NOT NULL REFERENCES tenant,
        subject text NOT NULL,
        generation bigint NOT NULL DEFAULT 1,
        floor bigint NOT NULL DEFAULT 1,
        floor_order text,
        floor_action text,
        floored_at timestamptz,
        PRIMARY KEY (tenant, subject)
      )`);
    await runner.query(
      `CREATE INDEX subject_floored ON subject (tenant, floored_at) WHERE floored_at IS NOT NULL`,
    );
    await runner.query(`
      CREATE TABLE initiator (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        issuer text NOT NULL DEFAULT '',
        subject text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, id),
        UNIQUE (tenant, issuer, subject)
      )`);
    await runner.query(`
      CREATE TABLE task (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        name text NOT NULL,
        opened_by text NOT NULL,
        root_id text NOT NULL,
        created_at timestamptz NOT NULL,
        completed_at timestamptz,
        PRIMARY KEY (tenant, id)
      )`);
    // The lineage is immutable and excludes the agent itself. Everything a kill decides is in subject, nothing in here.
    await runner.query(`
      CREATE TABLE agent (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        name text NOT NULL,
        parent_id text,
        root_id text NOT NULL,
        depth integer NOT NULL CHECK (depth BETWEEN 0 AND 64),
        service_id text NOT NULL,
        initiator_id text NOT NULL,
        task_id text,
        lin_subjects text[] NOT NULL,
        lin_generations bigint[] NOT NULL,
        scopes text[] NOT NULL,
        base_grant_id text NOT NULL,
        labels jsonb NOT NULL,
        refs jsonb NOT NULL,
        max_depth integer NOT NULL,
        max_children integer NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        completed_at timestamptz,
        -- Written by the enumeration of a cascade; only list filters and counts read it.
        listed_state text NOT NULL DEFAULT 'active',
        PRIMARY KEY (tenant, id),
        FOREIGN KEY (tenant, parent_id) REFERENCES agent,
        FOREIGN KEY (tenant, initiator_id) REFERENCES initiator,
        FOREIGN KEY (tenant, service_id) REFERENCES principal
      )`);
    await runner.query(`CREATE INDEX agent_parent ON agent (tenant, parent_id)`);
    await runner.query(`CREATE INDEX agent_root ON agent (tenant, root_id, id)`);
    await runner.query(`CREATE INDEX agent_initiator ON agent (tenant, initiator_id, id)`);
    await runner.query(`CREATE INDEX agent_service ON agent (tenant, service_id, id)`);
    await runner.query(
      `CREATE INDEX agent_task ON agent (tenant, task_id) WHERE task_id IS NOT NULL`,
    );
    await runner.query(`CREATE INDEX agent_labels ON agent USING gin (labels jsonb_path_ops)`);
    await runner.query(`CREATE INDEX agent_refs ON agent USING gin (refs jsonb_path_ops)`);
    // Counted in a narrow row of its own, so that a spawn never rewrites its parent's wide one.
    await runner.query(`
      CREATE TABLE agent_quota (
        tenant text NOT NULL REFERENCES tenant,
        agent_id text NOT NULL,
        children integer NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant, agent_id)
      ) WITH (fillfactor = 50)`);
    await runner.query(`
      CREATE TABLE scope_grant (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        agent_id text NOT NULL,
        task_id text,
        scopes text[] NOT NULL,
        base boolean NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        PRIMARY KEY (tenant, id),
        FOREIGN KEY (tenant, agent_id) REFERENCES agent
      )`);
    await runner.query(`CREATE INDEX scope_grant_agent ON scope_grant (tenant, agent_id)`);
    // Never behind any time at which a credential was issued, though the database's clock be set back; ahead by seconds.
    await runner.query(`
      CREATE TABLE issue_clock (
        tenant text PRIMARY KEY REFERENCES tenant,
        high timestamptz NOT NULL
      ) WITH (fillfactor = 50)`);
    // own_* are the pairs beyond the agent's lineage: the agent itself, its grants, the family, the credential.
    await runner.query(`
      CREATE TABLE credential (
        tenant text NOT NULL REFERENCES tenant,
        id text NOT NULL,
        agent_id text NOT NULL,
        family_id text NOT NULL,
        derived_from text,
        own_subjects text[] NOT NULL,
        own_generations bigint[] NOT NULL,
        scopes text[] NOT NULL,
        audience text NOT NULL,
        use text,
        issued_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (tenant, id),
        FOREIGN KEY (tenant, agent_id) REFERENCES agent
      )`);
    await runner.query(`CREATE INDEX credential_agent ON credential (tenant, agent_id)`);
    await runner.query(`CREATE INDEX credential_family ON credential (tenant, family_id)`);
  }

  async down(): Promise<void> {
    throw new Error('Migrations only go forward; restore a backup to go back.');
  }
}
