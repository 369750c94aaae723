import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { typOf } from '@sever/protocol';
import { EnforcementPoint, RefusedError, type ConnectOptions } from '../src';
import { eventually } from '../../../test/support/eventually';
import { newKeyPair, ScriptedControlPlane, signJws } from './support/scripted-control-plane';

jest.setTimeout(30_000);

let plane: ScriptedControlPlane;
let folder: string;
let open: EnforcementPoint[] = [];
let named = 0;

beforeAll(async () => {
  plane = await ScriptedControlPlane.start();
  folder = mkdtempSync(join(tmpdir(), 'sever-ep-'));
});

afterEach(async () => {
  plane.behave();
  plane.broker.thaw();
  await Promise.all(open.map((ep) => ep.close()));
  open = [];
});

afterAll(async () => {
  await plane.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function connected(options: Partial<ConnectOptions> = {}): Promise<EnforcementPoint> {
  named += 1;
  const ep = await EnforcementPoint.connect({
    url: plane.url,
    enrolmentKey: 'enrol-me',
    name: `ep-${named}`,
    keyDirectory: join(folder, `${named}`),
    timeoutMs: 10_000,
    ...options,
  });
  open.push(ep);
  return ep;
}

const tool = 'files/read';

describe('a kill', () => {
  it('refuses the agent and what it spawned, lets the neighbour go on, and is receipted', async () => {
    const ep = await connected();
    const parent = await plane.token();
    const child = await plane.token([parent.agent]);
    const neighbour = await plane.token();
    for (const { token } of [parent, child, neighbour])
      expect(await ep.check(token, { tool })).toMatchObject({ decision: 'allow', stale: false });

    const { killId, seq } = await plane.kill(parent.agent);

    await eventually(async () =>
      expect(await ep.check(child.token, { tool })).toMatchObject({
        decision: 'deny',
        code: 'agent_revoked',
        killId,
        terminal: true,
      }),
    );
    expect(await ep.check(parent.token, { tool })).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(neighbour.token, { tool })).toMatchObject({ decision: 'allow' });
    const receipt = await eventually(() => {
      const last = plane.receiptsFor(ep.state().bootId).at(-1);
      expect(last?.applied).toBe(seq);
      return last;
    });
    expect(receipt).toMatchObject({ epoch: 1, nacks: [], ep: ep.state().id });
  });

  it('aborts work in flight before its receipt leaves, and leaves the neighbour working', async () => {
    const ep = await connected();
    const victim = await plane.token();
    const neighbour = await plane.token();
    const order: string[] = [];
    const work = ep.guard(victim.token, { tool }, async (signal) => {
      await new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          order.push('aborted');
          reject(new Error('stopped'));
        }),
      );
    });
    const survivor = await ep.admit(neighbour.token, { tool });
    await eventually(() => expect(ep.state().inFlight).toBe(2));

    const { killId, seq } = await plane.kill(victim.agent);

    await expect(work).rejects.toBeInstanceOf(RefusedError);
    const receipt = await eventually(() => {
      const found = plane.receiptsFor(ep.state().bootId).find(({ applied }) => applied >= seq);
      expect(found).toBeDefined();
      return found;
    });
    expect(order).toEqual(['aborted']);
    expect(receipt?.in_flight).toEqual({ [killId]: { aborted: 1, completed: 0, uncontrolled: 0 } });
    if (survivor.decision === 'deny') throw new Error('the neighbour was refused');
    expect(survivor.call.signal.aborted).toBe(false);
    survivor.call.finish();
  });

  it('counts work that ignores the signal as uncontrolled, and says so within a bounded time', async () => {
    const ep = await connected();
    const victim = await plane.token();
    let free = () => {};
    const work = ep.guard(
      victim.token,
      { tool },
      () => new Promise<void>((resolve) => (free = resolve)),
    );
    await eventually(() => expect(ep.state().inFlight).toBe(1));
    const { killId } = await plane.kill(victim.agent);
    await expect(work).rejects.toBeInstanceOf(RefusedError);
    await eventually(() =>
      expect(plane.receiptsFor(ep.state().bootId).at(-1)?.in_flight[killId]).toEqual({
        aborted: 0,
        completed: 0,
        uncontrolled: 1,
      }),
    );
    free();
    await eventually(() =>
      expect(plane.receiptsFor(ep.state().bootId).at(-1)?.in_flight[killId]).toEqual({
        aborted: 0,
        completed: 1,
        uncontrolled: 0,
      }),
    );
  });
});

describe('a broker that loses, repeats and reorders', () => {
  it('loses an entry: the next one shows the gap, and the range brings it', async () => {
    const ep = await connected();
    const [lost, seen, alive] = [await plane.token(), await plane.token(), await plane.token()];
    await plane.kill(lost.agent, { publish: false });
    const { seq } = await plane.kill(seen.agent);
    await eventually(() => expect(ep.state().applied).toBe(seq));
    expect(await ep.check(lost.token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(seen.token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(alive.token)).toMatchObject({ decision: 'allow' });
    expect(plane.rangeRequests.some(({ to }) => to >= seq - 1)).toBe(true);
  });

  it('loses the last entry: the pulse shows it', async () => {
    const ep = await connected();
    const lost = await plane.token();
    const { seq } = await plane.kill(lost.agent, { publish: false });
    await eventually(() => expect(ep.state().applied).toBe(seq));
    expect(await ep.check(lost.token)).toMatchObject({ code: 'agent_revoked' });
  });

  it('repeats and reorders: every kill holds, the position ends where the head is', async () => {
    const ep = await connected();
    const agents = [await plane.token(), await plane.token(), await plane.token()];
    const alive = await plane.token();
    const entries = [];
    for (const { agent } of agents) entries.push(await plane.kill(agent, { publish: false }));
    for (const entry of [...entries].reverse()) plane.broadcast('stream', entry.jws);
    plane.broadcast('stream', entries.map(({ jws }) => jws).join('\n'));
    await eventually(() => expect(ep.state().applied).toBe(plane.head));
    for (const { token } of agents)
      expect(await ep.check(token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(alive.token)).toMatchObject({ decision: 'allow' });
    expect(ep.state().darkBecause).toBeNull();
  });
});

describe('a broker that stops answering', () => {
  it('darkens strict when the lease runs out, flags best_effort, and both catch up first when it returns', async () => {
    const [strict, lax] = [await connected(), await connected({ mode: 'best_effort' })];
    const [dead, alive] = [await plane.token(), await plane.token()];
    const relayed = await strict.admit(alive.token, { tool });
    if (relayed.decision === 'deny') throw new Error('refused');
    plane.broker.freeze();
    const frozen = performance.now();
    await eventually(async () => {
      const decision = await strict.check(alive.token, { tool });
      expect(decision).toMatchObject({ decision: 'deny', code: 'enforcement_stale', stale: true });
    });
    expect(performance.now() - frozen).toBeLessThan(plane.validMs + 500);
    expect(relayed.call.held).toBe(true);
    expect(strict.state().ready).toBe(false);
    await eventually(async () =>
      expect(await lax.check(alive.token, { tool })).toMatchObject({
        decision: 'allow',
        stale: true,
      }),
    );
    expect(lax.state().staleAdmissions).toBeGreaterThan(0);

    const { seq } = await plane.kill(dead.agent, { publish: false });
    const snapshots = plane.snapshotRequests.length;
    plane.broker.thaw();
    await eventually(
      async () =>
        expect(await strict.check(alive.token, { tool })).toMatchObject({ decision: 'allow' }),
      { timeoutMs: 10_000 },
    );
    expect(strict.state().applied).toBeGreaterThanOrEqual(seq);
    expect(await strict.check(dead.token)).toMatchObject({ code: 'agent_revoked' });
    expect(relayed.call.held).toBe(false);
    expect(relayed.call.signal.aborted).toBe(false);
    relayed.call.finish();
    await eventually(() => expect(lax.state().applied).toBeGreaterThanOrEqual(seq));
    expect(snapshots).toBeGreaterThan(0);
  });

  it('comes back after a crash: a snapshot is taken before any lease is renewed', async () => {
    plane.validMs = 10_000;
    const ep = await connected();
    const [dead, alive] = [await plane.token(), await plane.token()];
    const { bootId } = ep.state();
    const asked = () => plane.snapshotRequests.filter(({ boot_id }) => boot_id === bootId).length;
    const before = asked();
    await plane.broker.kill();
    await plane.kill(dead.agent, { publish: false });
    // Under its running lease it goes on meanwhile.
    expect(await ep.check(alive.token, { tool })).toMatchObject({ decision: 'allow' });
    plane.answerSnapshots = false;
    await plane.broker.restart();
    await eventually(() => expect(asked()).toBeGreaterThan(before), { timeoutMs: 10_000 });
    const leases = plane.leaseReplies.length;
    await eventually(() => expect(asked()).toBeGreaterThan(before + 1), { timeoutMs: 10_000 });
    expect(plane.leaseReplies.length).toBe(leases);
    plane.answerSnapshots = true;
    await eventually(() => expect(plane.leaseReplies.length).toBeGreaterThan(leases), {
      timeoutMs: 10_000,
    });
    expect(await ep.check(dead.token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(alive.token, { tool })).toMatchObject({ decision: 'allow' });
  });
});

describe('old and forged messages', () => {
  it('a replayed lease or pulse gives no freshness', async () => {
    const ep = await connected();
    const { token } = await plane.token();
    await eventually(() => expect(plane.pulses.length).toBeGreaterThan(2));
    const old = plane.leaseReplies.at(-1) ?? new Uint8Array();
    plane.replaceLease = () => old;
    plane.pulsing = false;
    const replay = setInterval(() => plane.broadcast('pulse', plane.pulses[0] ?? ''), 50);
    try {
      await eventually(async () =>
        expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' }),
      );
      expect(ep.droppedMessages()).toMatchObject({
        unexpected_lease: expect.any(Number),
        replayed_pulse: expect.any(Number),
      });
    } finally {
      clearInterval(replay);
    }
  });

  it('a forged, foreign, broken or mistyped entry changes nothing and is counted', async () => {
    const ep = await connected();
    const { token, agent } = await plane.token();
    const claims = {
      type: 'entry',
      v: 1,
      tenant: plane.tenant,
      epoch: 1,
      seq: plane.head + 1,
      op: { op: 'floor', subject: `agent:${agent}`, generation: 2 },
      kill_id: 'kil_forged',
      digest: 'A'.repeat(43),
      at: Date.now(),
    };
    const stranger = await newKeyPair();
    const own = plane.streamKey;
    const typ = typOf('entry');
    plane.broadcast('stream', await signJws(stranger, typ, claims));
    plane.broadcast('stream', await signJws({ ...stranger, kid: own.kid }, typ, claims));
    plane.broadcast('stream', await signJws(own, typ, { ...claims, tenant: 'ten_other' }));
    plane.broadcast('stream', await signJws(own, typOf('pulse'), claims));
    plane.broadcast('stream', await signJws(own, typ, { ...claims, seq: -1 }));
    plane.broadcast('stream', Buffer.from([0xff, 0xfe, 0x00]));
    plane.broadcast('stream', '');
    plane.broadcast('stream', 'x'.repeat(600_000));
    await eventually(() =>
      expect(ep.droppedMessages()).toMatchObject({
        bad_signature: expect.any(Number),
        wrong_tenant: 1,
        wrong_typ: 1,
        bad_schema: 1,
        not_utf8: 1,
        too_large: 1,
      }),
    );
    expect(await ep.check(token)).toMatchObject({ decision: 'allow' });
    // And it still hears what is real.
    const { seq } = await plane.kill(agent);
    await eventually(() => expect(ep.state().applied).toBe(seq));
    expect(await ep.check(token)).toMatchObject({ code: 'agent_revoked' });
  });

  it('a tampered snapshot chunk spoils the whole snapshot; nothing is admitted until a true one comes', async () => {
    const dead = await plane.token();
    await plane.kill(dead.agent);
    plane.tamperChunk = (chunk) => Buffer.from(chunk.toString().replace('agent:', 'agent;'));
    const before = plane.snapshotRequests.length;
    const connecting = connected();
    await eventually(() => expect(plane.snapshotRequests.length).toBeGreaterThan(before + 2));
    plane.tamperChunk = null;
    const ep = await connecting;
    expect(ep.droppedMessages()['tampered_chunk']).toBeGreaterThan(0);
    expect(await ep.check(dead.token)).toMatchObject({ code: 'agent_revoked' });
    const alive = await plane.token();
    expect(await ep.check(alive.token)).toMatchObject({ decision: 'allow' });
  });
});

describe('entering and leaving', () => {
  it('tells which boot it replaces, because it holds the same key directory', async () => {
    const keyDirectory = join(folder, 'successor');
    const first = await connected({ keyDirectory, name: 'successor' });
    const { bootId } = first.state();
    await expect(connected({ keyDirectory, name: 'successor' })).rejects.toThrow(keyDirectory);
    await first.close();
    expect(plane.leaves.at(-1)).toMatchObject({ boot_id: bootId, ep: first.state().id });
    const second = await connected({ keyDirectory, name: 'successor' });
    expect(second.state().id).toBe(first.state().id);
    expect(plane.snapshotRequests.at(-1)).toMatchObject({ replaces: bootId });
  });

  it('refuses everything once it is closing', async () => {
    const ep = await connected();
    const { token } = await plane.token();
    const closed = ep.close();
    expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' });
    await closed;
    expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' });
  });

  it('says why when enrolment is refused, and leaves the directory free', async () => {
    const keyDirectory = join(folder, 'refused');
    await expect(connected({ keyDirectory, enrolmentKey: 'wrong' })).rejects.toThrow(
      'Ask for a key.',
    );
    await expect(connected({ keyDirectory })).resolves.toBeInstanceOf(EnforcementPoint);
  });

  it('its own suspension is receipted with the work that did not heed it', async () => {
    const ep = await connected();
    const other = await connected();
    const { token } = await plane.token();
    let free = () => {};
    const deaf = ep.guard(token, { tool }, () => new Promise<void>((resolve) => (free = resolve)));
    const heeds = ep.guard(token, { tool }, async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new Error('stopped');
    });
    const survivor = await other.admit(token, { tool });
    await eventually(() => expect(ep.state().inFlight).toBe(2));
    const subject = `enforcement_point:${ep.state().id}`;
    const { seq, jws } = await plane.append({ op: 'suspend', id: 'kil_deaf', subject });
    plane.broadcast('stream', jws);
    await expect(deaf).rejects.toBeInstanceOf(RefusedError);
    await expect(heeds).rejects.toBeInstanceOf(RefusedError);
    const receipt = await eventually(() => {
      const first = plane.receiptsFor(ep.state().bootId).find(({ applied }) => applied >= seq);
      expect(first).toBeDefined();
      return first;
    });
    expect(receipt?.in_flight).toEqual({ kil_deaf: { aborted: 1, completed: 0, uncontrolled: 1 } });
    if (survivor.decision === 'deny') throw new Error('the other point refused');
    expect(survivor.call.signal.aborted).toBe(false);
    survivor.call.finish();
    free();
    plane.broadcast('stream', (await plane.append({ op: 'lift', id: 'kil_deaf' })).jws);
  });

  it('goes dark and tells every listener although one of them fails', async () => {
    const errors: string[] = [];
    const logger = {
      info: () => {},
      warn: () => {},
      error: (_: object, m: string) => errors.push(m),
    };
    const ep = await connected({ logger });
    const { token } = await plane.token();
    const told = jest.fn();
    ep.onAlarm(() => {
      throw new Error('the pager is broken');
    });
    ep.onAlarm(told);
    const { seq, jws } = await plane.append({
      op: 'suspend',
      id: 'kil_loud',
      subject: `enforcement_point:${ep.state().id}`,
    });
    plane.broadcast('stream', jws);
    await eventually(() => expect(told).toHaveBeenCalledTimes(1));
    expect(errors).toContain('an alarm listener failed');
    expect(errors).not.toContain('a message could not be handled');
    expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' });
    await eventually(() =>
      expect(plane.receiptsFor(ep.state().bootId).at(-1)?.applied).toBeGreaterThanOrEqual(seq),
    );
    plane.broadcast('stream', (await plane.append({ op: 'lift', id: 'kil_loud' })).jws);
    await eventually(async () =>
      expect(await ep.check(token)).toMatchObject({ decision: 'allow' }),
    );
  });

  it('goes dark while it is itself suspended, receipts that, and returns with the lift', async () => {
    const ep = await connected();
    const other = await connected();
    const { token } = await plane.token();
    const alarms: unknown[] = [];
    ep.onAlarm((alarm) => alarms.push(alarm));
    const { seq } = await plane
      .append({ op: 'suspend', id: 'kil_self', subject: `enforcement_point:${ep.state().id}` })
      .then((entry) => (plane.broadcast('stream', entry.jws), entry));
    await eventually(async () =>
      expect(await ep.check(token)).toMatchObject({ code: 'enforcement_stale' }),
    );
    expect(alarms).toEqual([{ kind: 'revoked', detail: 'kil_self' }]);
    await eventually(() =>
      expect(plane.receiptsFor(ep.state().bootId).at(-1)?.applied).toBeGreaterThanOrEqual(seq),
    );
    expect(await other.check(token)).toMatchObject({ decision: 'allow' });
    plane.broadcast('stream', (await plane.append({ op: 'lift', id: 'kil_self' })).jws);
    await eventually(async () =>
      expect(await ep.check(token)).toMatchObject({ decision: 'allow' }),
    );
  });
});
