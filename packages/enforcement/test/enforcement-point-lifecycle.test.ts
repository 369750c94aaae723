import { setScene } from './support/scene';
import { join } from 'node:path';
import { EnforcementPoint, RefusedError } from '../src';
import { eventually } from '../../../test/support/eventually';
jest.setTimeout(30_000);

const scene = setScene();
const { connected } = scene;

const tool = 'files/read';

describe('entering and leaving', () => {
  it('tells which boot it replaces, because it holds the same key directory', async () => {
    const keyDirectory = join(scene.folder, 'successor');
    const first = await connected({ keyDirectory, name: 'successor' });
    const { bootId } = first.state();
    await expect(connected({ keyDirectory, name: 'successor' })).rejects.toThrow(keyDirectory);
    await first.close();
    expect(scene.plane.leaves.at(-1)).toMatchObject({ boot_id: bootId, ep: first.state().id });
    const second = await connected({ keyDirectory, name: 'successor' });
    expect(second.state().id).toBe(first.state().id);
    expect(scene.plane.snapshotRequests.at(-1)).toMatchObject({ replaces: bootId });
  });

  it('refuses everything once it is closing', async () => {
    const ep = await connected();
    const { token } = await scene.plane.token();
    const closed = ep.close();
    expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' });
    await closed;
    expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' });
  });

  it('says why when enrolment is refused, and leaves the directory free', async () => {
    const keyDirectory = join(scene.folder, 'refused');
    await expect(connected({ keyDirectory, enrolmentKey: 'wrong' })).rejects.toThrow(
      'Ask for a key.',
    );
    await expect(connected({ keyDirectory })).resolves.toBeInstanceOf(EnforcementPoint);
  });

  it('its own suspension is receipted with the work that did not heed it', async () => {
    const ep = await connected();
    const other = await connected();
    const { token } = await scene.plane.token();
    let free = () => {};
    const deaf = ep.guard(token, { tool }, () => new Promise<void>((resolve) => (free = resolve)));
    const heeds = ep.guard(token, { tool }, async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new Error('stopped');
    });
    const survivor = await other.admit(token, { tool });
    await eventually(() => expect(ep.state().inFlight).toBe(2));
    const subject = `enforcement_point:${ep.state().id}`;
    const { seq, jws } = await scene.plane.append({ op: 'suspend', id: 'kil_deaf', subject });
    scene.plane.broadcast('stream', jws);
    await expect(deaf).rejects.toBeInstanceOf(RefusedError);
    await expect(heeds).rejects.toBeInstanceOf(RefusedError);
    const receipt = await eventually(() => {
      const first = scene.plane
        .receiptsFor(ep.state().bootId)
        .find(({ applied }) => applied >= seq);
      expect(first).toBeDefined();
      return first;
    });
    expect(receipt?.in_flight).toEqual({ kil_deaf: { aborted: 1, completed: 0, uncontrolled: 1 } });
    if (survivor.decision === 'deny') throw new Error('the other point refused');
    expect(survivor.call.signal.aborted).toBe(false);
    survivor.call.finish();
    free();
    scene.plane.broadcast('stream', (await scene.plane.append({ op: 'lift', id: 'kil_deaf' })).jws);
  });

  it('goes dark and tells every listener although one of them fails', async () => {
    const errors: string[] = [];
    const logger = {
      info: () => {},
      warn: () => {},
      error: (_: object, m: string) => errors.push(m),
    };
    const ep = await connected({ logger });
    const { token } = await scene.plane.token();
    const told = jest.fn();
    ep.onAlarm(() => {
      throw new Error('the pager is broken');
    });
    ep.onAlarm(told);
    const { seq, jws } = await scene.plane.append({
      op: 'suspend',
      id: 'kil_loud',
      subject: `enforcement_point:${ep.state().id}`,
    });
    scene.plane.broadcast('stream', jws);
    await eventually(() => expect(told).toHaveBeenCalledTimes(1));
    expect(errors).toContain('an alarm listener failed');
    expect(errors).not.toContain('a message could not be handled');
    expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' });
    await eventually(() =>
      expect(scene.plane.receiptsFor(ep.state().bootId).at(-1)?.applied).toBeGreaterThanOrEqual(
        seq,
      ),
    );
    scene.plane.broadcast('stream', (await scene.plane.append({ op: 'lift', id: 'kil_loud' })).jws);
    await eventually(async () =>
      expect(await ep.check(token)).toMatchObject({ decision: 'allow' }),
    );
  });

  it('goes dark while it is itself suspended, receipts that, and returns with the lift', async () => {
    const ep = await connected();
    const other = await connected();
    const { token } = await scene.plane.token();
    const alarms: unknown[] = [];
    ep.onAlarm((alarm) => alarms.push(alarm));
    const { seq } = await scene.plane
      .append({ op: 'suspend', id: 'kil_self', subject: `enforcement_point:${ep.state().id}` })
      .then((entry) => (scene.plane.broadcast('stream', entry.jws), entry));
    await eventually(async () =>
      expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' }),
    );
    expect(alarms).toEqual([{ kind: 'revoked', detail: 'kil_self' }]);
    await eventually(() =>
      expect(scene.plane.receiptsFor(ep.state().bootId).at(-1)?.applied).toBeGreaterThanOrEqual(
        seq,
      ),
    );
    expect(await other.check(token)).toMatchObject({ decision: 'allow' });
    scene.plane.broadcast('stream', (await scene.plane.append({ op: 'lift', id: 'kil_self' })).jws);
    await eventually(async () =>
      expect(await ep.check(token)).toMatchObject({ decision: 'allow' }),
    );
  });
});
