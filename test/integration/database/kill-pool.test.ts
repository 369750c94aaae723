import { newId } from '@sever/protocol';
import { pino } from 'pino';
import { Client } from 'pg';
import { KillPool } from '../../../src/database/kill-pool';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { SqlTenant, type Born } from '../../support/sql-tenant';

describe('a kill that finds the way blocked', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;
  let kills: KillPool;

  beforeAll(async () => {
    database = await createTestDatabase();
    tenant = await SqlTenant.create(database.url);
    kills = new KillPool(database.url, 4, pino({ level: 'silent' }));
  });
  afterAll(async () => {
    await kills.close();
    await tenant.close();
    await database.drop();
  });

  const kill = (agent: Born): Promise<{ answer: Record<string, unknown>[] }[]> =>
    kills.query('SELECT sever_revoke($1, $2) AS answer', [
      tenant.id,
      JSON.stringify([
        {
          id: newId('kill'),
          action: 'kill',
          subjects: [{ kind: 'agent', id: agent.agentId }],
          only: false,
          reason: 'x',
          ticket: null,
          actor: {},
          caller: { kind: 'operator' },
          idempotency: null,
          audit_id: newId('audit'),
        },
      ]),
    ]);

  /** A session that holds a lock and does nothing more, as a frozen replica would. */
  const holder = async (statement: string, parameters: unknown[]): Promise<Client> => {
    const client = new Client({ connectionString: database.url, options: '-c role=sever_app' });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('BEGIN');
    await client.query(`SELECT set_config('app.tenant', $1, true)`, [tenant.id]);
    await client.query(statement, parameters);
    return client;
  };

  it('terminates a frozen spawn that holds the fence, and leaves other sessions alone', async () => {
    const root = await tenant.root();
    const other = await tenant.root();
    const fence = 'SELECT sever_fence_shared($1, $2)';
    const frozen = await holder(fence, [tenant.id, [`agent:${root.agentId}`]]);
    const bystander = await holder(fence, [tenant.id, [`agent:${other.agentId}`]]);
    const startedAt = performance.now();
    const [row] = await kill(root);
    expect(row?.answer[0]).toHaveProperty('entries');
    // It waited its second first: no holder is terminated for being there.
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    await expect(frozen.query('SELECT 1')).rejects.toThrow();
    await expect(bystander.query('SELECT 1')).resolves.toBeDefined();
    await bystander.end();
    expect(await tenant.denial(root.lineage)).not.toBeNull();
    expect(await tenant.denial(other.lineage)).toBeNull();
  });

  it('terminates whoever sits on the head of the stream', async () => {
    const root = await tenant.root();
    const frozen = await holder('SELECT * FROM stream_head WHERE tenant = $1 FOR UPDATE', [
      tenant.id,
    ]);
    const [row] = await kill(root);
    expect(row?.answer[0]).toHaveProperty('entries');
    await expect(frozen.query('SELECT 1')).rejects.toThrow();
  });

  describe('so does what undoes an order', () => {
    const undo = async (name: string, asked: object): Promise<object> => {
      const actor = { id: 'y', name: 'y', kind: 'lead' };
      const [row] = await kills.query<{ answer: object }>(`SELECT ${name}($1, $2) AS answer`, [
        tenant.id,
        JSON.stringify({ ...asked, reason: 'x', actor, audit_id: newId('audit') }),
      ]);
      return row?.answer ?? {};
    };
    const held = async (
      action: 'kill' | 'suspend',
      name: string,
      more: (root: Born, id: string) => object,
    ): Promise<{ root: Born; release: () => Promise<object> }> => {
      const root = await tenant.root();
      const subjects = [{ kind: 'agent', id: root.agentId }];
      const { id } = await tenant.order({ action, subjects });
      return { root, release: () => undo(name, more(root, id as string)) };
    };
    const lift = () => held('suspend', 'sever_lift', (_, id) => ({ id, own_only: false }));
    const reinstate = () =>
      held('kill', 'sever_reinstate', (root, id) => ({
        ...{ kind: 'agent', subject_id: root.agentId, kill_ids: [id] },
      }));

    it.each([
      ['a lift', lift],
      ['a reinstatement', reinstate],
    ])('%s terminates a frozen holder of the fence, and no bystander', async (_, prepare) => {
      const { root, release } = await prepare();
      const other = await tenant.root();
      const fence = 'SELECT sever_fence_shared($1, $2)';
      const frozen = await holder(fence, [tenant.id, [`agent:${root.agentId}`]]);
      const bystander = await holder(fence, [tenant.id, [`agent:${other.agentId}`]]);
      expect(await release()).toHaveProperty('entries');
      await expect(frozen.query('SELECT 1')).rejects.toThrow();
      await expect(bystander.query('SELECT 1')).resolves.toBeDefined();
      await bystander.end();
      expect(await tenant.mint(root, null)).toHaveProperty('credentialId');
    });

    it('a lift terminates whoever sits on the head of the stream', async () => {
      const { root, release } = await lift();
      const frozen = await holder('SELECT * FROM stream_head WHERE tenant = $1 FOR UPDATE', [
        tenant.id,
      ]);
      expect(await release()).toHaveProperty('entries');
      await expect(frozen.query('SELECT 1')).rejects.toThrow();
      expect(await tenant.denial(root.lineage)).toBeNull();
    });
  });

  it('is let through by spawns, which give way after less than a second', async () => {
    const root = await tenant.root();
    const exclusive = await holder('SELECT sever_fence_exclusive($1, $2)', [
      tenant.id,
      [`agent:${root.agentId}`],
    ]);
    await expect(tenant.spawn(root)).rejects.toMatchObject({ code: '55P03' });
    await exclusive.query('ROLLBACK');
    await exclusive.end();
    expect(await tenant.spawn(root)).toHaveProperty('agentId');
  });
});
