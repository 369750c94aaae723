import { eventually } from '../../support/eventually';
import { EpochScene } from './epoch-scene';
import type { HandDrivenPoint } from './hand-driven-point';

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

describe('a database that has gone back', () => {
  it('is in a new epoch before the control plane that finds it has started', async () => {
    const side = await scene.start();
    await scene.loseTwoKills(side);
    await scene.stop(side);
    await scene.restore();
    expect(await scene.head()).toBe('1.1');

    const again = await scene.start();

    expect(await scene.head()).toBe('2.0');
    expect(await scene.openings(again)).toMatchObject([
      {
        ...{ epoch: 2, because: 'published', former_head: '1.1', highest_seen: '1.3' },
        ...{ restored: [], lost: [{ from: '1.2', to: '1.3' }], settled: false },
      },
    ]);
    const [record] = await scene.tenant.read(
      `SELECT record FROM audit_record WHERE action = 'open_epoch'`,
      [],
    );
    expect(JSON.parse(String(record?.record))).toMatchObject({ epoch: 2, because: 'published' });
  });

  it('gives one place two meanings when nobody looks: the negative control', async () => {
    const side = await scene.start({ continuity: false });
    const { point, neighbour } = await scene.loseTwoKills(side);
    await scene.stop(side);
    await scene.restore();
    await scene.start({ continuity: false });

    await scene.kill(neighbour);

    expect(await scene.head()).toBe('1.2');
    await eventually(() => expect(signedOf(point, 2)).toHaveLength(2));
  });

  it('is in a new epoch before the first statement of a control plane that was running all along', async () => {
    const side = await scene.start();
    await scene.loseTwoKills(side);
    await scene.restore();

    const [row] = await eventually(() =>
      side.work.querySystem<{ epoch: string }>(`SELECT epoch FROM stream_head WHERE tenant = $1`, [
        scene.tenant.id,
      ]),
    );

    expect(row?.epoch).toBe('2');
  });

  it('opens one epoch, however many replicas notice', async () => {
    const side = await scene.start();
    await scene.loseTwoKills(side);
    const second = await scene.start({ forgetful: true });
    await scene.stop(side);
    await eventually(() => expect(second.continuity.known().get(scene.tenant.id)?.seq).toBe(3));
    await scene.restore();

    const third = await scene.start();

    await eventually(async () => expect(await scene.openings(third)).toHaveLength(1));
    await eventually(() => second.work.querySystem('SELECT 1'));
    expect(await scene.openings(second)).toHaveLength(1);
    expect(await scene.head()).toBe('2.0');
  });

  it('is noticed by its timeline or its system identifier, though nothing published is missing', async () => {
    const side = await scene.start();
    await scene.kill(await scene.tenant.root());
    await scene.stop(side);
    await scene.asOwner(`UPDATE database_identity SET timeline = timeline + 1`);
    const again = await scene.start({ forgetful: true });
    expect(await scene.openings(again)).toMatchObject([
      { because: 'timeline', former_head: '1.1', highest_seen: null, lost: [] },
    ]);
    await scene.stop(again);
    await scene.asOwner(`UPDATE database_identity SET system_identifier = '1'`);

    const other = await scene.start();

    expect(await scene.openings(other)).toMatchObject([
      { epoch: 3, because: 'system_identifier' },
      { epoch: 2 },
    ]);
  });

  it('stays in its epoch when it has not gone back', async () => {
    const side = await scene.start();
    await scene.kill(await scene.tenant.root());
    await eventually(() => expect(side.continuity.known().get(scene.tenant.id)?.seq).toBe(1));
    await scene.stop(side);

    const again = await scene.start();

    expect(await scene.head()).toBe('1.1');
    expect(await scene.openings(again)).toEqual([]);
  });

  it('raises floors above all that enforcement points may remember of the future that was lost', async () => {
    const side = await scene.start();
    const { second } = await scene.loseTwoKills(side);
    await scene.restore(side);

    await scene.kill(second);

    const [row] = await scene.tenant.read(`SELECT floor FROM subject WHERE subject = $1`, [
      `agent:${second.agentId}`,
    ]);
    expect(Number(row?.floor)).toBe(2 * 2 ** 32);
  });

  it('calls no kill contained while a boot that it has forgotten may hold a lease, though all that it knows have answered', async () => {
    let ahead = 0;
    const clock = { monotonic: () => performance.now() + ahead, wall: () => Date.now() };
    const side = await scene.start({ clock });
    await scene.loseTwoKills(side);
    await scene.restore(side);
    const point = await scene.connect(side, 'another');
    const id = await scene.kill(await scene.tenant.root());
    await point.hears(1);
    await point.sendReceipt();
    const order = { id, epoch: 2, lastSeq: 1, leaseValidMs: 10_000 };
    const state = async () => {
      const [found] = await side.containment.forOrders(scene.tenant.id, [
        { ...order, replica: null, committedMonoMs: null },
      ]);
      return { state: found?.state, enforced: found?.containment.enforced };
    };
    await eventually(async () => expect((await state()).enforced).toBe(1));
    expect((await state()).state).toBe('partial');
    ahead = 11_000;
    expect((await state()).state).toBe('partial');

    ahead = 13_000;

    expect((await state()).state).toBe('contained');
    await eventually(async () => expect((await scene.openings(side))[0]?.settled).toBe(true));
  });
});
