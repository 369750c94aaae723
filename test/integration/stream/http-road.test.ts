import { newId, typOf, type SpawnReply } from '@sever/protocol';
import { Client } from 'pg';
import { hashSecretKey, newSecretKey } from '../../../src/access/secret-keys';
import { SigningKeys } from '../../../src/signing/signing-keys';
import { EmergencyEvents } from '../../../src/stream/emergency-events';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { eventually } from '../../support/eventually';
import { HttpPoint } from './http-point';

describe('the stream over HTTP', () => {
  let plane: TestControlPlane;
  let admin: Client;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    // Whatever these tests see comes over HTTP.
    await plane.broker.kill();
    admin = new Client({ connectionString: plane.database.url });
    await admin.connect();
  });
  afterAll(async () => {
    await admin.end();
    await plane.close();
  });

  const enrol = (name: string): Promise<HttpPoint> => HttpPoint.enrol(plane.url, plane.key, name);
  const root = (name: string): Promise<SpawnReply> =>
    plane.client.spawn({ name, initiator: { subject: 'alice' } });
  const kill = async (waitMs = 0) =>
    plane.client.killAgent((await root('doomed')).agent.id, { reason: 'x' }, { waitMs });
  const headOf = (point: HttpPoint): string => `${point.epoch}.${point.applied}`;

  it('gives a snapshot by POST and by GET, each under one signature, to a boot that is on the roster', async () => {
    const point = await enrol('snapshots');
    const before = await kill();
    const posted = await point.take(await point.call('/snapshot', await point.snapshotRequest()));
    const request = await point.snapshotRequest();
    const got = await point.take(await point.call(`/snapshot?request=${request}`));
    expect(got.chunks).toEqual(posted.chunks);
    expect(Buffer.concat(posted.chunks).toString()).toContain(before.id);

    const after = await kill();
    expect(after.containment).toMatchObject({ required: 1, pending: [{ id: point.id }] });
    expect((await plane.client.getKill(before.id)).containment.required).toBe(0);
    expect(
      (
        await point.call(
          '/receipts',
          await point.sign('leave', {
            ...{ ep: point.id, boot_id: point.bootId },
            ...{ epoch: point.epoch, applied: point.applied },
          }),
        )
      ).status,
    ).toBe(204);
    expect((await plane.client.getKill(after.id)).containment).toMatchObject({ dark: 1 });
  });

  it('refuses a snapshot to who did not sign for it, for a boot that has left, and in no body or another form', async () => {
    const [point, other] = [await enrol('one'), await enrol('other')];
    const foreign = await point.call('/snapshot', await other.snapshotRequest());
    expect(foreign).toMatchObject({ status: 400, body: { refusal: 'bad_request' } });
    await point.enter();
    const leave = await point.sign('leave', {
      ...{ ep: point.id, boot_id: point.bootId, epoch: point.epoch, applied: point.applied },
    });
    expect((await point.call('/receipts', leave)).status).toBe(204);
    const left = await point.call('/snapshot', await point.snapshotRequest());
    expect(left).toMatchObject({ status: 403, body: { refusal: 'boot_left' } });
    expect((await point.call('/snapshot', '')).status).toBe(400);
    const asJson = await point.call('/snapshot', { request: await point.snapshotRequest() });
    expect(asJson.status).toBe(400);
    expect((await point.call('/snapshot')).status).toBe(400);
  });

  it('says at once where the stream is, and answers a question that waits when something is killed', async () => {
    const point = await enrol('listener');
    const start = await point.listen({});
    await point.enter();
    expect(start).toMatchObject({ entries: [], compacted: false, next: headOf(point) });

    const order: string[] = [];
    const waiting = point.listen({ after: start.next, wait: '25s' }).then((page) => {
      order.push('told');
      return page;
    });
    const killing = kill(20_000).then((killed) => {
      order.push('contained');
      return killed;
    });
    const page = await waiting;
    const [entry] = await point.apply(page);
    expect(page.next).toBe(headOf(point));
    expect((await point.call('/receipts', await point.receipt())).status).toBe(204);
    const killed = await killing;
    expect(entry).toMatchObject({ kill_id: killed.id, op: { op: 'floor' } });
    expect(killed.state).toBe('contained');
    expect(order).toEqual(['told', 'contained']);

    const again = await point.listen({ after: start.next, wait: '0' });
    expect(again.entries).toEqual(page.entries);
    expect(await point.listen({ after: page.next, wait: '50ms' })).toMatchObject({
      entries: [],
      next: page.next,
      compacted: false,
    });
    await leave(point);
  });

  it('gives a pulse along, with the head in it', async () => {
    const point = await enrol('pulse');
    await eventually(async () => {
      const { pulse, next } = await point.listen({});
      const said = (await point.verified(pulse ?? '', typOf('pulse'))) as Record<string, number>;
      expect(`${said.epoch}.${said.head}`).toBe(next);
    });
  });

  it('answers the older question of one listener when a newer one comes', async () => {
    const point = await enrol('twice');
    const { next } = await point.listen({});
    const first = point.listen({ after: next, wait: '25s' });
    const second = point.listen({ after: next, wait: '25s' });
    expect(await Promise.race([first, second])).toMatchObject({ entries: [], next });
    const killed = await kill();
    const told = [await first, await second].flatMap(({ entries }) => entries);
    expect(told).toHaveLength(1);
    expect(Buffer.from((told[0] as string).split('.')[1] ?? '', 'base64url').toString()).toContain(
      killed.id,
    );
  });

  it('sends who has missed what is no longer kept, or a whole epoch, to take a snapshot', async () => {
    const point = await enrol('late');
    const { next: early } = await point.listen({});
    const [epoch, seq] = early.split('.').map(Number) as [number, number];
    await kill();
    await kill();
    const { next: head } = await point.listen({});
    await admin.query(`UPDATE stream_head SET compacted_below = $1`, [seq + 2]);
    expect(await point.listen({ after: early, wait: '25s' })).toMatchObject({
      ...{ compacted: true, entries: [], next: head },
    });
    await admin.query(`UPDATE stream_head SET compacted_below = 0`);
    expect((await point.listen({ after: early, wait: '25s' })).entries).toHaveLength(2);
    expect(await point.listen({ after: `${epoch - 1}.7`, wait: '25s' })).toMatchObject({
      ...{ compacted: true, entries: [], next: head },
    });
  });

  it('tells a listener of an emergency at once, all that are open to who comes later, and each once', async () => {
    const [point, later] = [await enrol('waits'), await enrol('comes-later')];
    const { next, heard } = await point.listen({});
    const events = plane.plane.app.get(EmergencyEvents, { strict: false });
    const { tenant } = point.enrolled;
    const killId = newId('kill');
    const payload = JSON.stringify({
      ...{ type: 'emergency', v: 1, tenant, kill_id: killId, subjects: ['agent:x'] },
      ...{ issued_at: Date.now(), not_after: Date.now() + 60_000 },
    });
    const keys = plane.plane.app.get(SigningKeys, { strict: false });
    const jws = await keys.sign(tenant, 'stream', typOf('emergency'), payload);
    const waiting = point.listen({ after: next, heard, wait: '25s' });
    await eventually(() => expect(events.told.observed).toBe(true));
    events.told.next({ tenant, killId, jws, notAfter: Date.now() + 60_000 });
    const page = await waiting;
    expect(page).toMatchObject({ emergencies: [jws], entries: [], next });
    expect(await later.listen({})).toMatchObject({ emergencies: [jws] });
    const after = await point.listen({ after: next, heard: page.heard, wait: '0' });
    expect(after.emergencies).toEqual([]);
    events.closed.next({ tenant, killId });
    expect((await later.listen({})).emergencies).toEqual([]);
  });

  it('gives leases under the lease key, and refuses one to a boot that never entered', async () => {
    const point = await enrol('leases');
    expect(await point.lease({ digest: 'A'.repeat(43) })).toMatchObject({ code: 'boot_unknown' });
    await point.enter();
    expect(await point.lease()).toMatchObject({
      ...{ type: 'lease', ep: point.id, boot_id: point.bootId },
      ...{ epoch: point.epoch, head: point.applied },
    });
    const killed = await kill();
    expect(await point.lease()).toMatchObject({ type: 'lease', head: point.applied + 1 });
    const { entries } = await point.range(point.applied + 1, point.applied + 1);
    expect(
      Buffer.from((entries[0] as string).split('.')[1] ?? '', 'base64url').toString(),
    ).toContain(killed.id);
    expect(await point.lease({ applied: point.applied + 50 })).toMatchObject({
      code: 'divergence',
    });
    expect((await point.call('/lease', { nonsense: true })).status).toBe(400);
    await leave(point);
  });

  it('takes receipts for what they are: not those of others, of unknown boots, of no such place, or without end', async () => {
    const [point, other] = [await enrol('receipts'), await enrol('no-receipts')];
    await point.enter();
    const foreign = await other.call('/receipts', await point.receipt());
    expect(foreign).toMatchObject({ status: 400, body: { code: 'bad_request' } });
    const unknown = await point.call('/receipts', await point.receipt({ boot_id: newId('boot') }));
    expect(unknown).toMatchObject({ status: 422, body: { code: 'unprocessable' } });
    const ahead = await point.call('/receipts', await point.receipt({ applied: 1_000_000 }));
    expect(ahead.status).toBe(422);
    expect((await point.call('/receipts', 'x'.repeat(600_000))).status).toBe(413);
    expect(
      (await point.call('/receipts', await point.receipt(), { type: 'text/plain' })).status,
    ).toBe(415);
    expect((await point.call('/receipts', await point.receipt())).status).toBe(204);
    expect((await point.call('/receipts', await point.receipt())).status).toBe(204);
    const elsewhere = await plane.call('POST', '/v1/kills', {
      ...{ body: 'x', headers: { 'content-type': 'application/jose' } },
    });
    expect(elsewhere.status).toBe(400);
    await leave(point);
  });

  it('shows an enforcement point nothing of another tenant', async () => {
    const tenant = newId('tenant');
    const key = newSecretKey('enrolment');
    await admin.query(`INSERT INTO tenant (id, name) VALUES ($1, $1)`, [tenant]);
    await admin.query(`INSERT INTO stream_head (tenant) VALUES ($1)`, [tenant]);
    await admin.query(
      `INSERT INTO enrolment_key (tenant, id, hash, name, expires_at) VALUES ($1, $2, $3, 'x', now() + interval '1 day')`,
      [tenant, newId('enrolmentKey'), hashSecretKey(key)],
    );
    const [foreign, own] = [await HttpPoint.enrol(plane.url, key, 'foreign'), await enrol('own')];
    expect(foreign.enrolled.tenant).toBe(tenant);
    const { next } = await foreign.listen({});
    const { next: ownNext } = await own.listen({});
    const waiting = foreign.listen({ after: next, wait: '700ms' });
    await kill();
    expect((await own.listen({ after: ownNext, wait: '25s' })).entries).toHaveLength(1);
    expect(await waiting).toMatchObject({ entries: [], emergencies: [], next });
    await foreign.enter();
    expect(foreign.applied).toBe(0);
    foreign.epoch = Number(ownNext.split('.')[0]);
    expect((await foreign.range(1, 100)).entries).toEqual([]);
    const asOwn = await foreign.call('/snapshot', await own.snapshotRequest());
    expect(asOwn.status).toBe(400);
  });

  it('lets a killed enforcement point hear that and confirm it, and gives it 403 for everything afterwards', async () => {
    const point = await enrol('killed');
    await point.enter();
    const after = headOf(point);
    const waiting = point.listen({ after, wait: '25s' });
    expect((await plane.call('DELETE', `/v1/enforcement-points/${point.id}`)).status).toBe(202);
    const [entry] = await point.apply(await waiting);
    expect(entry?.op).toMatchObject({ op: 'suspend', subject: `enforcement_point:${point.id}` });
    expect(await point.lease()).toMatchObject({ code: 'revoked' });
    const snapshot = await point.call('/snapshot', await point.snapshotRequest());
    expect(snapshot).toMatchObject({ status: 403, body: { code: 'enforcement_point_revoked' } });
    expect((await point.call('/receipts', await point.receipt())).status).toBe(204);
    for (const [path, body] of [
      ['?wait=0', undefined],
      ['/lease', point.leaseRequest()],
      ['/receipts', await point.receipt()],
      ['/range', { type: 'range-request', v: 1, epoch: 1, from: 1, to: 1 }],
    ] as const)
      expect(await point.call(path, body)).toMatchObject({
        ...{ status: 403, body: { code: 'enforcement_point_revoked' } },
      });
  });

  it.each(['after=1', 'after=x.1', 'heard=1', 'wait=-1', 'more=1', `after=1.${'9'.repeat(16)}`])(
    'refuses the question %s',
    async (query) => {
      const point = await enrol('bad-questions');
      expect((await point.call(`?${query}`)).status).toBe(400);
    },
  );

  async function leave(point: HttpPoint): Promise<void> {
    const { id: ep, bootId: boot_id, epoch, applied } = point;
    const message = await point.sign('leave', { ep, boot_id, epoch, applied });
    expect((await point.call('/receipts', message)).status).toBe(204);
  }
});
