import { createHash } from 'node:crypto';
import { newId } from '@sever/protocol';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { SqlTenant, type Born } from '../../support/sql-tenant';

interface Committed {
  id: string;
  epoch: number;
  entries: { seq: number; payload: string }[];
}

describe('the transaction of an order', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;

  beforeAll(async () => {
    database = await createTestDatabase();
    tenant = await SqlTenant.create(database.url);
  });

  afterAll(async () => {
    await tenant.close();
    await database.drop();
  });

  const family = async (): Promise<{ root: Born; child: Born; grandchild: Born; other: Born }> => {
    const root = await tenant.root();
    const child = await tenant.child(root);
    return { root, child, grandchild: await tenant.child(child), other: await tenant.root() };
  };

  it('kills an agent and everything below it, and nothing above or beside it', async () => {
    const { root, child, grandchild, other } = await family();
    const kill = await tenant.kill({ kind: 'agent', id: child.agentId });
    expect(await tenant.denial(child.lineage)).toMatchObject({ order_id: kill.id, action: 'kill' });
    expect(await tenant.denial(grandchild.lineage)).toMatchObject({
      subject: `agent:${child.agentId}`,
    });
    expect(await tenant.denial(root.lineage)).toBeNull();
    expect(await tenant.denial(other.lineage)).toBeNull();
    expect(await tenant.spawn(grandchild)).toMatchObject({
      problem: 'ancestor_revoked',
      kill_id: kill.id,
    });
    expect(await tenant.mint(grandchild)).toMatchObject({ problem: 'ancestor_revoked' });
    expect(await tenant.spawn(root)).toHaveProperty('agentId');
  });

  it('writes one entry and the same amount whatever the size of the tree', async () => {
    const small = await tenant.root();
    const large = await tenant.root();
    for (let n = 0; n < 60; n++) await tenant.child(large);
    const kill = async ({ agentId }: Born): Promise<Committed> =>
      (await tenant.kill({ kind: 'agent', id: agentId })) as unknown as Committed;
    const [one, many] = [await kill(small), await kill(large)];
    expect(many.entries).toHaveLength(1);
    expect(many.entries[0]?.payload.length).toBe(one.entries[0]?.payload.length);
  });

  it('numbers entries without gap, and chains their digests over the bytes that are signed', async () => {
    const roots = [await tenant.root(), await tenant.root(), await tenant.root()];
    await Promise.all(roots.map((root) => tenant.kill({ kind: 'agent', id: root.agentId })));
    const rows = await tenant.read(
      `SELECT seq::int, payload, digest FROM stream_entry WHERE tenant = $1 ORDER BY seq`,
      [tenant.id],
    );
    expect(rows.map((row) => row.seq)).toEqual(rows.map((_, at) => at + 1));
    let digest: Buffer = Buffer.alloc(32);
    for (const row of rows) {
      const payload = JSON.parse(row.payload as string) as { digest: string; seq: number };
      expect(payload.digest).toBe(digest.toString('base64url'));
      const own = createHash('sha256')
        .update(row.payload as string)
        .digest();
      digest = createHash('sha256').update(digest).update(own).digest();
      expect((row.digest as Buffer).equals(digest)).toBe(true);
    }
  });

  it('leaves no hole and no trace when a transaction rolls back', async () => {
    const root = await tenant.root();
    const client = await tenant.pool.connect();
    await client.query('BEGIN');
    await client.query('SELECT sever_revoke($1, $2)', [
      tenant.id,
      JSON.stringify([
        {
          ...{
            id: newId('kill'),
            action: 'kill',
            only: false,
            reason: 'x',
            ticket: null,
            idempotency: null,
          },
          ...{ actor: {}, caller: { kind: 'operator' }, audit_id: newId('audit') },
          subjects: [{ kind: 'agent', id: root.agentId }],
        },
      ]),
    ]);
    await client.query('ROLLBACK');
    client.release();
    expect(await tenant.denial(root.lineage)).toBeNull();
    const [gaps] = await tenant.read(
      `SELECT max(seq) = count(*) AS gapless, (SELECT seq FROM stream_head WHERE tenant = $1) = max(seq) AS at_head
       FROM stream_entry WHERE tenant = $1`,
      [tenant.id],
    );
    expect(gaps).toEqual({ gapless: true, at_head: true });
  });

  it('kills a credential with everything minted along its chain, and leaves the agent its other credentials', async () => {
    const root = await tenant.root();
    const minted = (await tenant.mint(root)) as Born;
    const fresh = (await tenant.mint(root, null)) as Born;
    await tenant.kill({ kind: 'credential', id: minted.credentialId });
    expect(await tenant.denial(minted.lineage)).not.toBeNull();
    expect(await tenant.denial(root.lineage)).not.toBeNull();
    expect(await tenant.denial(fresh.lineage)).toBeNull();
    expect(await tenant.mint(root)).toMatchObject({ problem: 'ancestor_revoked' });
    expect(await tenant.mint(root, fresh)).toHaveProperty('credentialId');
  });

  it('kills one credential alone when told so', async () => {
    const root = await tenant.root();
    const minted = (await tenant.mint(root)) as Born;
    await tenant.kill({ kind: 'credential', id: minted.credentialId }, { only: true });
    expect(await tenant.denial(minted.lineage)).not.toBeNull();
    expect(await tenant.denial(root.lineage)).toBeNull();
  });

  it('records a kill of what is dead already under an id of its own, and raises nothing', async () => {
    const { child } = await family();
    const first = (await tenant.kill({ kind: 'agent', id: child.agentId })) as unknown as Committed;
    const second = (await tenant.kill({
      kind: 'agent',
      id: child.agentId,
    })) as unknown as Committed;
    expect(second.id).not.toBe(first.id);
    expect(second.entries).toHaveLength(1);
    const op = ({ entries }: Committed): unknown =>
      (JSON.parse(entries[0]?.payload ?? '') as { op: unknown }).op;
    expect(op(second)).toEqual(op(first));
    expect(await tenant.denial(child.lineage)).toMatchObject({ order_id: first.id });
  });

  it('completes an agent without touching its descendants, which a later kill still reaches', async () => {
    const { root, child, grandchild } = await family();
    await tenant.order({ action: 'complete', subjects: [{ kind: 'agent', id: child.agentId }] });
    expect(await tenant.denial(child.lineage)).toMatchObject({ action: 'complete' });
    expect(await tenant.denial(grandchild.lineage)).toBeNull();
    expect(await tenant.spawn(child)).toMatchObject({ problem: 'agent_ended' });
    expect(await tenant.spawn(grandchild)).toHaveProperty('agentId');
    const again = await tenant.order({
      action: 'complete',
      subjects: [{ kind: 'agent', id: child.agentId }],
    });
    expect(again).toMatchObject({ noop: true });
    await tenant.kill({ kind: 'agent', id: child.agentId });
    expect(await tenant.denial(grandchild.lineage)).toMatchObject({ action: 'kill' });
    expect(await tenant.denial(root.lineage)).toBeNull();
  });

  describe('with an idempotency key', () => {
    const idempotency = (key: string, fingerprint = 'aa'): object => ({
      idempotency: { principal_id: 'prn_x', key, fingerprint },
    });

    it('commits one kill however many times and however concurrently it is sent', async () => {
      const root = await tenant.root();
      const subject = { kind: 'agent', id: root.agentId };
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => tenant.kill(subject, idempotency('once'))),
      );
      const ids = new Set(answers.map((answer) => answer.replay ?? answer.id));
      expect(ids.size).toBe(1);
      const [row] = await tenant.read(
        `SELECT count(*)::int AS n FROM revocation WHERE tenant = $1 AND subjects @> $2`,
        [tenant.id, JSON.stringify([subject])],
      );
      expect(row?.n).toBe(1);
    });

    it('refuses the key with another body, and leaves it free after a refused order', async () => {
      const root = await tenant.root();
      const subject = { kind: 'agent', id: root.agentId };
      await tenant.kill(subject, idempotency('taken'));
      expect(await tenant.kill(subject, idempotency('taken', 'bb'))).toEqual({
        problem: 'idempotency_mismatch',
      });
      const nobody = { kind: 'agent', id: newId('agent') };
      expect(await tenant.kill(nobody, idempotency('free'))).toMatchObject({
        problem: 'not_found',
      });
      expect(await tenant.kill(subject, idempotency('free'))).toHaveProperty('entries');
    });

    it('answers an order that is sent again under the same id as a replay', async () => {
      const root = await tenant.root();
      const id = newId('kill');
      const subject = { kind: 'agent', id: root.agentId };
      await tenant.kill(subject, { id });
      expect(await tenant.kill(subject, { id })).toEqual({ replay: id });
    });
  });

  it('validates each order of a batch on its own', async () => {
    const [one, two] = [await tenant.root(), await tenant.root()];
    const outcomes = await tenant.orders([
      { action: 'kill', subjects: [{ kind: 'agent', id: one.agentId }] },
      { action: 'kill', subjects: [{ kind: 'agent', id: newId('agent') }] },
      {
        action: 'kill',
        subjects: [
          { kind: 'agent', id: two.agentId },
          { kind: 'agent', id: newId('agent') },
        ],
      },
    ]);
    expect(outcomes.map((outcome) => outcome.problem)).toEqual([undefined, 'not_found', undefined]);
    const seqs = outcomes
      .flatMap((outcome) => (outcome as unknown as Committed).entries ?? [])
      .map(({ seq }) => seq);
    expect(seqs[1]).toBe((seqs[0] as number) + 1);
    expect(outcomes[2]?.not_found).toHaveLength(1);
  });

  describe('asked for by an agent', () => {
    const as = (agent: Born): object => ({
      caller: {
        kind: 'agent',
        agent_id: agent.agentId,
        subjects: agent.lineage.map(([subject]) => subject),
        generations: agent.lineage.map(([, generation]) => generation),
      },
    });

    it('reaches itself and its descendants, and neither ancestors nor strangers', async () => {
      const { root, child, grandchild, other } = await family();
      for (const stranger of [root, other])
        expect(await tenant.kill({ kind: 'agent', id: stranger.agentId }, as(child))).toMatchObject(
          {
            problem: 'not_a_descendant',
          },
        );
      expect(
        await tenant.kill({ kind: 'agent', id: grandchild.agentId }, as(child)),
      ).toHaveProperty('entries');
      expect(await tenant.kill({ kind: 'agent', id: child.agentId }, as(child))).toHaveProperty(
        'entries',
      );
      expect(await tenant.denial(root.lineage)).toBeNull();
      expect(await tenant.denial(other.lineage)).toBeNull();
    });

    it('is refused once the agent itself is dead', async () => {
      const { child, grandchild } = await family();
      await tenant.kill({ kind: 'agent', id: child.agentId });
      expect(await tenant.kill({ kind: 'agent', id: grandchild.agentId }, as(child))).toMatchObject(
        {
          problem: 'agent_revoked',
        },
      );
    });
  });

  it('shows another tenant nothing', async () => {
    const stranger = await SqlTenant.create(database.url);
    const root = await tenant.root();
    expect(await stranger.kill({ kind: 'agent', id: root.agentId })).toMatchObject({
      problem: 'not_found',
    });
    expect(await stranger.read(`SELECT * FROM agent WHERE id = $1`, [root.agentId])).toEqual([]);
    expect(await tenant.denial(root.lineage)).toBeNull();
    await stranger.close();
  });
});

describe('a clock that is set back between a mint and its kill', () => {
  it('dates the floor no earlier than the token, so that the token is dead for as long as it lives', async () => {
    const database = await createTestDatabase();
    const tenant = await SqlTenant.create(database.url);
    const root = await tenant.root();
    // What a database an hour ahead has left behind.
    await tenant.read(
      `UPDATE issue_clock SET high = clock_timestamp() + interval '1 hour' WHERE tenant = $1 RETURNING 1`,
      [tenant.id],
    );
    const kill = (await tenant.kill({ kind: 'agent', id: root.agentId })) as unknown as Committed;
    const { at } = JSON.parse(kill.entries[0]?.payload ?? '') as { at: number };
    expect(at).toBeGreaterThan(Date.now() + 59 * 60_000);
    const [row] = await tenant.read(
      `SELECT floored_at FROM subject WHERE tenant = $1 AND subject = $2`,
      [tenant.id, `agent:${root.agentId}`],
    );
    expect((row?.floored_at as Date).getTime()).toBeGreaterThan(Date.now() + 59 * 60_000);
    await tenant.close();
    await database.drop();
  });
});
