import type { EnforcementPoint } from '@sever/enforcement';
import { LEASE_TYP } from '@sever/protocol';
import type { Machine } from '../../packages/enforcement/src/machine';
import { NoReplayProtection } from '../model/machine-mutations';
import { eventually } from '../support/eventually';
import type { Passing, Recording } from './proxy/nats-proxy';
import { decide, LEASE_MS, ProxiedPlane, type Issued } from './run/proxied-plane';

const WATCH_MS = 3 * LEASE_MS;

describe('everything that an enforcement point was ever told, told to it again and again', () => {
  let proxied: ProxiedPlane;
  let point: EnforcementPoint;
  let agent: Issued;

  beforeEach(async () => {
    proxied = await ProxiedPlane.start();
    point = await proxied.point('replayed');
    agent = await proxied.spawn('agent');
  });
  afterEach(() => proxied?.close(), 180_000);

  /** Records a few leases, cuts both roads, and replays. @returns how it decided meanwhile, without repetitions */
  const cutAndReplay = async (
    what: 'everything' | 'since the kill',
  ): Promise<{ seen: string[]; restore: () => void }> => {
    const { brokerRoad, road, plane } = proxied;
    const { id } = point.state();
    const record = brokerRoad.record('>', 'to_client');
    await recorded(record, '_R.', 2);
    await plane.client.killAgent((await proxied.spawn('other')).agent, { reason: 'traffic' });
    const kill = await recorded(record, 'sever.v1.stream.', 1);
    await eventually(() => expect(point.state().applied).toBe(1), { timeoutMs: 20_000 });
    await recorded(record, '_R.', 6);
    await recorded(record, 'sever.v1.pulse.', 3);
    await eventually(async () => expect(await decide(point, agent.token)).toBe('allow'), {
      timeoutMs: 20_000,
    });
    record.stop();
    const messages = what === 'everything' ? record.messages : record.messages.slice(kill);
    // Its connection stands, and nothing that is new passes it.
    const lifts = (['to_client', 'to_server'] as const).map((direction) =>
      brokerRoad.impose({ subject: '>', direction, client: id, harm: { kind: 'drop' } }),
    );
    road.set({ lost: true });
    // Each question for a lease is answered, where it asks for the answer, with an answer to an earlier one.
    const leases = messages.filter(({ payload }) => typOf(payload) === LEASE_TYP);
    let answered = 0;
    const answering = brokerRoad.observe(({ client, direction, subject, reply }) => {
      if (client !== id || direction !== 'to_server' || reply === undefined) return;
      if (!subject.startsWith('sever.v1.lease.')) return;
      const { payload } = leases[answered % leases.length] as Passing;
      answered += brokerRoad.replay(id, [{ subject: reply, payload }]);
    });

    const seen = ['allow'];
    const until = performance.now() + WATCH_MS;
    let replayed = 0;
    await eventually(
      async () => {
        replayed += brokerRoad.replay(id, messages);
        const code = await decide(point, agent.token);
        if (seen.at(-1) !== code) seen.push(code);
        if (performance.now() < until) throw new Error('still watching');
      },
      { timeoutMs: WATCH_MS + 20_000, everyMs: 250 },
    );
    expect(replayed).toBeGreaterThan(messages.length);
    expect(answered).toBeGreaterThan(1);
    return {
      seen,
      restore: () => {
        answering();
        for (const lift of lifts) lift();
        road.heal();
      },
    };
  };

  it('never keep it fresh: once the last lease has run out it refuses, until it hears something new', async () => {
    const { seen, restore } = await cutAndReplay('everything');
    expect(seen).toEqual(['allow', 'enforcement_stale']);
    expect(Object.keys(point.droppedMessages())).toEqual(
      expect.arrayContaining(['replayed_pulse', 'unexpected_lease']),
    );
    restore();
    await eventually(async () => expect(await decide(point, agent.token)).toBe('allow'), {
      timeoutMs: 20_000,
    });
  }, 150_000);

  it('keep one fresh that takes any lease reply for an answer', async () => {
    const machine = (point as unknown as { machine: Machine }).machine;
    Object.setPrototypeOf(machine, NoReplayProtection.prototype);
    const { seen } = await cutAndReplay('since the kill');
    expect(seen).toEqual(['allow']);
  }, 150_000);
});

/** Waits for that many. @returns how many messages there are then in all */
async function recorded(record: Recording, subject: string, count: number): Promise<number> {
  return await eventually(
    () => {
      const found = record.messages.filter((message) => message.subject.startsWith(subject));
      expect([subject, found.length >= count]).toEqual([subject, true]);
      return record.messages.length;
    },
    { timeoutMs: 30_000 },
  );
}

function typOf(jws: Buffer): string | undefined {
  const [header = ''] = jws.toString('latin1').split('.', 1);
  try {
    return (JSON.parse(Buffer.from(header, 'base64url').toString()) as { typ?: string }).typ;
  } catch {
    return undefined;
  }
}
