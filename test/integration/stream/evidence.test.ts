import { randomUUID } from 'node:crypto';
import { typOf } from '@sever/protocol';
import { eventually } from '../../support/eventually';
import type { Born } from '../../support/sql-tenant';
import type { BrokerSide } from './broker-side';
import { EpochScene } from './epoch-scene';
import { newKeys, sign, type HandDrivenPoint } from './hand-driven-point';

// Each copies a database, and some three times.
jest.setTimeout(240_000);

let scene: EpochScene;

beforeAll(async () => {
  scene = await EpochScene.withBroker();
});
afterAll(() => scene.close());
beforeEach(() => scene.begin());
afterEach(() => scene.end());

const signedOf = (point: HandDrivenPoint, ...seqs: number[]): string[] =>
  point.heard.flatMap(({ entry, jws }) => (seqs.includes(entry.seq) ? [jws] : []));

describe('what enforcement points show', () => {
  it('is committed again under the ids of its orders, and what is not shown is listed as lost', async () => {
    const side = await scene.start();
    const { point, first, second, third, neighbour, known, lost } = await scene.loseTwoKills(side);
    await scene.restore(side);
    expect(await scene.tenant.denial(second.lineage)).toBeNull();

    const reply = await point.show(signedOf(point, 1, 2));

    expect(reply.epoch).toBe(2);
    expect(await scene.openings(side)).toMatchObject([
      { restored: [lost[0]], highest_seen: '1.3', lost: [{ from: '1.3', to: '1.3' }] },
    ]);
    expect(await scene.tenant.denial(second.lineage)).toMatchObject({
      order_id: lost[0],
      action: 'kill',
    });
    expect(await scene.tenant.mint(second)).toMatchObject({ problem: 'ancestor_revoked' });
    expect(await scene.tenant.denial(first.lineage)).toMatchObject({ order_id: known });
    expect(await scene.tenant.denial(third.lineage)).toBeNull();
    expect(await scene.tenant.denial(neighbour.lineage)).toBeNull();
    const [row] = await scene.tenant.read(`SELECT * FROM revocation WHERE id = $1`, [lost[0]]);
    expect(row).toMatchObject({
      ...{ action: 'kill', epoch: '2', first_seq: '1', last_seq: '1' },
      reason: 'restored from signed evidence',
      subjects: [{ kind: 'agent', id: second.agentId }],
      created_by: { kind: 'restored', id: point.id },
    });
    // The same order, in the stream of the new epoch, for whoever never heard of it.
    await eventually(() =>
      expect(point.heard.at(-1)?.entry).toMatchObject({ epoch: 2, seq: 1, kill_id: lost[0] }),
    );
  });

  it('is committed once, however many show it and however often', async () => {
    const side = await scene.start();
    const late = await scene.connect(side, 'another');
    const { point, lost } = await scene.loseTwoKills(side);
    await late.hears(3);
    await scene.start({ forgetful: true });
    await scene.restore(side);

    await Promise.all(
      [point, late, point, late].map((one) => one.show(signedOf(one, 1, 2, 3).reverse())),
    );

    expect(await scene.head()).toBe('2.2');
    expect((await scene.openings(side))[0]).toMatchObject({ restored: [...lost].sort(), lost: [] });
  });

  it('opens an epoch where no replica could know that the database has gone back', async () => {
    const side = await scene.start();
    const { point, second, lost } = await scene.loseTwoKills(side);
    await scene.stop(side);
    await scene.restore();
    const again = await scene.start({ forgetful: true });
    expect(await scene.head()).toBe('1.1');
    expect(await point.askForLease({ applied: 3 })).toMatchObject({ code: 'divergence' });

    const reply = await point.show(signedOf(point, 1, 2, 3));

    expect(reply.epoch).toBe(2);
    expect(await scene.openings(again)).toMatchObject([
      { because: 'evidence', former_head: '1.1', highest_seen: '1.3', lost: [] },
    ]);
    expect(await scene.tenant.denial(second.lineage)).toMatchObject({ order_id: lost[0] });
  });

  it('opens an epoch by the manifest of a snapshot alone, and what it covered is lost', async () => {
    const side = await scene.start();
    const { point } = await scene.loseTwoKills(side);
    const [jws] = await signedManifest(side, 3);
    await scene.stop(side);
    await scene.restore();
    const again = await scene.start({ forgetful: true });

    await point.show([], jws);

    expect(await scene.openings(again)).toMatchObject([
      { because: 'evidence', highest_seen: '1.3', lost: [{ from: '1.2', to: '1.3' }] },
    ]);
  });

  it('restores what was overwritten while nobody looked', async () => {
    const side = await scene.start({ continuity: false });
    const { point, second, neighbour, lost } = await scene.loseTwoKills(side);
    await scene.stop(side);
    await scene.restore();
    const blind = await scene.start({ continuity: false });
    const overwriting = await scene.kill(neighbour);
    await scene.stop(blind);
    const again = await scene.start({ forgetful: true });

    await point.show(signedOf(point, 2, 3));

    expect((await scene.openings(again))[0]).toMatchObject({
      epoch: 2,
      restored: [...lost].sort(),
    });
    expect(await scene.tenant.denial(second.lineage)).toMatchObject({ order_id: lost[0] });
    expect(await scene.tenant.denial(neighbour.lineage)).toMatchObject({ order_id: overwriting });
  });

  it('restores suspensions and their lifts in whatever order they are shown', async () => {
    const side = await scene.start();
    const point = await scene.connect(side);
    const [early, late] = [await scene.tenant.root(), await scene.tenant.root()];
    const standing = await suspend(early);
    await scene.backUp();
    await lift(standing);
    const lost = await suspend(late);
    await lift(lost);
    const [both, alone] = [await scene.tenant.root(), await scene.tenant.root()];
    const kept = await suspend(both);
    await point.hears(5);
    await scene.restore(side);
    expect(await scene.tenant.denial(early.lineage)).toMatchObject({ order_id: standing });

    await point.show(signedOf(point, 4));
    await point.show(signedOf(point, 2, 5));
    await point.show(signedOf(point, 3));

    expect(await scene.tenant.denial(early.lineage)).toBeNull();
    expect(await scene.tenant.denial(late.lineage)).toBeNull();
    expect(await scene.tenant.denial(both.lineage)).toMatchObject({
      order_id: kept,
      action: 'suspend',
    });
    expect(await scene.tenant.denial(alone.lineage)).toBeNull();
    const { items } = await point.boot();
    const lifted = items.flatMap((item) => (item[0] === 'l' ? [item[1]] : []));
    expect(lifted.sort()).toEqual([standing, lost].sort());
  });

  it('raises the floor of an agent that the restored database has never heard of', async () => {
    const side = await scene.start();
    const point = await scene.connect(side);
    await scene.backUp();
    const born = await scene.tenant.root();
    const id = await scene.kill(born);
    await point.hears(1);
    await scene.restore(side);

    await point.show(signedOf(point, 1));

    expect(await scene.tenant.denial(born.lineage)).toMatchObject({ order_id: id });
    const { items } = await point.boot();
    expect(items.filter(([kind]) => kind === 'f')).toMatchObject([
      ['f', `agent:${born.agentId}`, 2 * 2 ** 32, expect.any(Number), id],
    ]);
  });

  it('takes a killed token key out of use again, and its heir takes its place', async () => {
    const side = await scene.start();
    const point = await scene.connect(side);
    const keys = async () =>
      Object.fromEntries(
        (
          await scene.tenant.read(
            `SELECT kid, state FROM signing_key WHERE tenant = $1 AND purpose = 'token'`,
            [scene.tenant.id],
          )
        ).map(({ kid, state }) => [String(state), String(kid)]),
      );
    const before = await keys();
    const bystander = await scene.tenant.root();
    await scene.backUp();
    const kill = await scene.tenant.kill({ kind: 'signing_key', id: before.live ?? '' });
    await point.hears(2);
    await scene.restore(side);
    expect(await keys()).toEqual(before);

    await point.show(signedOf(point, 1, 2));

    expect(await keys()).toEqual({ dead: before.live, live: before.next });
    const [row] = await scene.tenant.read(`SELECT action FROM revocation WHERE id = $1`, [kill.id]);
    expect(row).toMatchObject({ action: 'kill' });
    await eventually(() =>
      expect(
        point.heard.filter(({ entry }) => entry.epoch === 2).map(({ entry }) => entry.op),
      ).toEqual([
        expect.objectContaining({ op: 'suspend', subject: `signing_key:${before.live}` }),
        expect.objectContaining({ op: 'key', kid: before.next, state: 'live' }),
      ]),
    );
    expect(await scene.tenant.denial(bystander.lineage)).toBeNull();
  });

  it('changes nothing unless this control plane has signed it for this tenant', async () => {
    const side = await scene.start();
    const { point, neighbour } = await scene.loseTwoKills(side);
    const alarms: string[] = [];
    side.events.alarms.subscribe(({ kind }) => alarms.push(kind));
    const [genuine] = signedOf(point, 3);
    const payload = JSON.parse(
      Buffer.from(String(genuine).split('.')[1] ?? '', 'base64url').toString(),
    ) as object;
    const op = { op: 'floor', subject: `agent:${neighbour.agentId}`, generation: 2 ** 40 };
    const forged = { ...payload, seq: 4, op, kill_id: `kil_${randomUUID()}` };
    const { privateKey } = await newKeys();

    await point.show([
      await sign(privateKey, typOf('entry'), forged),
      await sign(point.keys.privateKey, typOf('entry'), forged),
      String(genuine).replace(
        /\.[^.]+\./,
        `.${Buffer.from(JSON.stringify(forged)).toString('base64url')}.`,
      ),
      'not.a.jws',
    ]);

    expect(await scene.head()).toBe('1.3');
    expect(await scene.openings(side)).toEqual([]);
    expect(await scene.tenant.denial(neighbour.lineage)).toBeNull();
    expect(alarms).toEqual(['bad_signature', 'bad_signature', 'bad_signature']);
  });
});

const suspend = async ({ agentId: id }: Born): Promise<string> =>
  String((await scene.tenant.order({ action: 'suspend', subjects: [{ kind: 'agent', id }] })).id);

async function lift(id: string): Promise<void> {
  const { rows } = await scene.tenant.pool.query<{ answer: { entries?: unknown } }>(
    `SELECT sever_lift($1, $2) AS answer`,
    [
      scene.tenant.id,
      JSON.stringify({ id, reason: 'a test', actor: {}, own_only: false, audit_id: randomUUID() }),
    ],
  );
  expect(rows[0]?.answer.entries).toBeDefined();
}

/** The signed manifest of a snapshot that some other point took. */
async function signedManifest(side: BrokerSide, seq: number): Promise<string[]> {
  const other = await scene.connect(side, 'another');
  const { manifest } = await other.boot();
  expect(manifest.seq).toBe(seq);
  return [
    await side.keys.sign(scene.tenant.id, 'stream', typOf('snapshot'), JSON.stringify(manifest)),
  ];
}
