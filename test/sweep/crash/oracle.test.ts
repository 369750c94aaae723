import type { EnforcementPoint } from '@sever/enforcement';
import type { SpawnReply } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { Truth } from '../truth';

/** Each thing that a crash could have left behind, made by hand: the oracle must name it. */
const DAMAGE: [found: RegExp, sql: string][] = [
  [/lives under a killed agent/, `UPDATE subject SET generation = floor WHERE generation < floor`],
  [/lives, and was killed/, `DELETE FROM subject`],
  [/not recorded once as born/, `DELETE FROM audit_record WHERE action = 'spawn'`],
  [/not recorded once as issued/, `DELETE FROM audit_record WHERE action = 'mint'`],
  [/not recorded once as ordered/, `DELETE FROM audit_record WHERE action = 'kill'`],
  [
    /not recorded once as ordered/,
    `INSERT INTO audit_record SELECT tenant, id || 'x', at, action, record, hash FROM audit_record WHERE action = 'kill'`,
  ],
  [/as ordered, and is not there/, `DELETE FROM revocation`],
  [/as issued, and is not there/, `DELETE FROM credential`],
  [/lifted, escalated, reinstated/, `UPDATE revocation SET lifted = '{}'`],
  [/no entry at the place/, `UPDATE revocation SET last_seq = last_seq + 7`],
  [/no record stands behind/, `UPDATE audit_record SET hash = '\\x00'`],
  [/after 0 comes 2/, `DELETE FROM stream_entry WHERE seq = 1`],
  [/the head is not at/, `UPDATE stream_head SET seq = seq + 1`],
  [/kept with another digest/, `UPDATE stream_entry SET digest = '\\x00' WHERE seq = 1`],
];

describe('the oracle of the crash sweep', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let truth: Truth;
  let victim: SpawnReply;
  let twin: SpawnReply;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'oracle');
    truth = new Truth(plane.database.url);
    const initiator = { subject: 'alice' };
    victim = await plane.client.spawn({ name: 'victim', initiator });
    twin = await plane.client.spawn({ name: 'twin', initiator });
    await plane.client.mint(twin.agent.id);
    for (const { agent } of [victim, await plane.client.spawn({ name: 'other', initiator })])
      await plane.client.kill(
        { subject: { kind: 'agent', id: agent.id }, reason: 'a test' },
        { waitMs: 5_000 },
      );
  }, 120_000);
  afterAll(async () => {
    await point.close();
    await truth.close();
    await plane.close();
  });

  const tokens = (): string[] => [victim.credential.token, twin.credential.token];

  it('finds nothing where nothing is wrong', async () => {
    expect(await truth.faults()).toEqual([]);
    expect(await truth.differences(point, tokens())).toEqual([]);
  });

  it.each(DAMAGE)('finds what "%s" says', async (found, sql) => {
    await truth.rows('BEGIN');
    try {
      await truth.rows(sql);
      expect((await truth.faults()).join('\n')).toMatch(found);
    } finally {
      await truth.rows('ROLLBACK');
    }
    expect(await truth.faults()).toEqual([]);
  });

  it('finds an enforcement point that decides otherwise than the database', async () => {
    await truth.rows('BEGIN');
    await truth.rows(`DELETE FROM subject`);
    expect(await truth.differences(point, tokens())).toHaveLength(1);
    await truth.rows('ROLLBACK');
  });
});
