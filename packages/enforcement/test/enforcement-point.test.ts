import { setScene } from './support/scene';
import { typOf } from '@sever/protocol';
import { RefusedError } from '../src';
import { eventually } from '../../../test/support/eventually';
import { newKeyPair, signJws } from './support/scripted-control-plane';
jest.setTimeout(30_000);

const scene = setScene();
const { connected } = scene;

const tool = 'files/read';

describe('a kill', () => {
  it('refuses the agent and what it spawned, lets the neighbour go on, and is receipted', async () => {
    const ep = await connected();
    const parent = await scene.plane.token();
    const child = await scene.plane.token([parent.agent]);
    const neighbour = await scene.plane.token();
    for (const { token } of [parent, child, neighbour])
      expect(await ep.check(token, { tool })).toMatchObject({ decision: 'allow', stale: false });

    const { killId, seq } = await scene.plane.kill(parent.agent);

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
      const last = scene.plane.receiptsFor(ep.state().bootId).at(-1);
      expect(last?.applied).toBe(seq);
      return last;
    });
    expect(receipt).toMatchObject({ epoch: 1, nacks: [], ep: ep.state().id });
  });

  it('aborts work in flight before its receipt leaves, and leaves the neighbour working', async () => {
    const ep = await connected();
    const victim = await scene.plane.token();
    const neighbour = await scene.plane.token();
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

    const { killId, seq } = await scene.plane.kill(victim.agent);

    await expect(work).rejects.toBeInstanceOf(RefusedError);
    const receipt = await eventually(() => {
      const found = scene.plane
        .receiptsFor(ep.state().bootId)
        .find(({ applied }) => applied >= seq);
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
    const victim = await scene.plane.token();
    let free = () => {};
    const work = ep.guard(
      victim.token,
      { tool },
      () => new Promise<void>((resolve) => (free = resolve)),
    );
    await eventually(() => expect(ep.state().inFlight).toBe(1));
    const { killId } = await scene.plane.kill(victim.agent);
    await expect(work).rejects.toBeInstanceOf(RefusedError);
    await eventually(() =>
      expect(scene.plane.receiptsFor(ep.state().bootId).at(-1)?.in_flight[killId]).toEqual({
        aborted: 0,
        completed: 0,
        uncontrolled: 1,
      }),
    );
    free();
    await eventually(() =>
      expect(scene.plane.receiptsFor(ep.state().bootId).at(-1)?.in_flight[killId]).toEqual({
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
    const [lost, seen, alive] = [
      await scene.plane.token(),
      await scene.plane.token(),
      await scene.plane.token(),
    ];
    await scene.plane.kill(lost.agent, { publish: false });
    const { seq } = await scene.plane.kill(seen.agent);
    await eventually(() => expect(ep.state().applied).toBe(seq));
    expect(await ep.check(lost.token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(seen.token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(alive.token)).toMatchObject({ decision: 'allow' });
    expect(scene.plane.rangeRequests.some(({ to }) => to >= seq - 1)).toBe(true);
  });

  it('loses the last entry: the pulse shows it', async () => {
    const ep = await connected();
    const lost = await scene.plane.token();
    const { seq } = await scene.plane.kill(lost.agent, { publish: false });
    await eventually(() => expect(ep.state().applied).toBe(seq));
    expect(await ep.check(lost.token)).toMatchObject({ code: 'agent_revoked' });
  });

  it('repeats and reorders: every kill holds, the position ends where the head is', async () => {
    const ep = await connected();
    const agents = [
      await scene.plane.token(),
      await scene.plane.token(),
      await scene.plane.token(),
    ];
    const alive = await scene.plane.token();
    const entries = [];
    for (const { agent } of agents) entries.push(await scene.plane.kill(agent, { publish: false }));
    for (const entry of [...entries].reverse()) scene.plane.broadcast('stream', entry.jws);
    scene.plane.broadcast('stream', entries.map(({ jws }) => jws).join('\n'));
    await eventually(() => expect(ep.state().applied).toBe(scene.plane.head));
    for (const { token } of agents)
      expect(await ep.check(token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(alive.token)).toMatchObject({ decision: 'allow' });
    expect(ep.state().darkBecause).toBeNull();
  });
});

describe('a broker that stops answering', () => {
  it('darkens strict when the lease runs out, flags best_effort, and both catch up first when it returns', async () => {
    const [strict, lax] = [await connected(), await connected({ mode: 'best_effort' })];
    const [dead, alive] = [await scene.plane.token(), await scene.plane.token()];
    const relayed = await strict.admit(alive.token, { tool });
    if (relayed.decision === 'deny') throw new Error('refused');
    scene.plane.broker.freeze();
    const frozen = performance.now();
    await eventually(async () => {
      const decision = await strict.check(alive.token, { tool });
      expect(decision).toMatchObject({ decision: 'deny', code: 'enforcement_stale', stale: true });
    });
    expect(performance.now() - frozen).toBeLessThan(scene.plane.validMs + 500);
    expect(relayed.call.held).toBe(true);
    expect(strict.state().ready).toBe(false);
    await eventually(async () =>
      expect(await lax.check(alive.token, { tool })).toMatchObject({
        decision: 'allow',
        stale: true,
      }),
    );
    expect(lax.state().staleAdmissions).toBeGreaterThan(0);
    const { staleAdmissions } = lax.state();
    const unseen = await scene.plane.token();
    for (const { token } of [alive, unseen])
      expect(await lax.check(token, { tool, look: true })).toMatchObject({ stale: true });
    expect(lax.state().staleAdmissions).toBe(staleAdmissions);
    await lax.check(alive.token, { tool });
    expect(lax.state().staleAdmissions).toBe(staleAdmissions + 1);

    const { seq } = await scene.plane.kill(dead.agent, { publish: false });
    const snapshots = scene.plane.snapshotRequests.length;
    scene.plane.broker.thaw();
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
    scene.plane.validMs = 10_000;
    const ep = await connected();
    const [dead, alive] = [await scene.plane.token(), await scene.plane.token()];
    const { bootId } = ep.state();
    const asked = () =>
      scene.plane.snapshotRequests.filter(({ boot_id }) => boot_id === bootId).length;
    const before = asked();
    await scene.plane.broker.kill();
    await scene.plane.kill(dead.agent, { publish: false });
    // Under its running lease it goes on meanwhile.
    expect(await ep.check(alive.token, { tool })).toMatchObject({ decision: 'allow' });
    scene.plane.answerSnapshots = false;
    await scene.plane.broker.restart();
    await eventually(() => expect(asked()).toBeGreaterThan(before), { timeoutMs: 10_000 });
    const leases = scene.plane.leaseReplies.length;
    await eventually(() => expect(asked()).toBeGreaterThan(before + 1), { timeoutMs: 10_000 });
    expect(scene.plane.leaseReplies.length).toBe(leases);
    scene.plane.answerSnapshots = true;
    await eventually(() => expect(scene.plane.leaseReplies.length).toBeGreaterThan(leases), {
      timeoutMs: 10_000,
    });
    expect(await ep.check(dead.token)).toMatchObject({ code: 'agent_revoked' });
    expect(await ep.check(alive.token, { tool })).toMatchObject({ decision: 'allow' });
  });
});

describe('old and forged messages', () => {
  it('a replayed lease or pulse gives no freshness', async () => {
    const ep = await connected();
    const { token } = await scene.plane.token();
    await eventually(() => expect(scene.plane.pulses.length).toBeGreaterThan(2));
    const old = scene.plane.leaseReplies.at(-1) ?? new Uint8Array();
    scene.plane.replaceLease = () => old;
    scene.plane.pulsing = false;
    const replay = setInterval(
      () => scene.plane.broadcast('pulse', scene.plane.pulses[0] ?? ''),
      50,
    );
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
    const { token, agent } = await scene.plane.token();
    const claims = {
      type: 'entry',
      v: 1,
      tenant: scene.plane.tenant,
      epoch: 1,
      seq: scene.plane.head + 1,
      op: { op: 'floor', subject: `agent:${agent}`, generation: 2 },
      kill_id: 'kil_forged',
      digest: 'A'.repeat(43),
      at: Date.now(),
    };
    const stranger = await newKeyPair();
    const own = scene.plane.streamKey;
    const typ = typOf('entry');
    scene.plane.broadcast('stream', await signJws(stranger, typ, claims));
    scene.plane.broadcast('stream', await signJws({ ...stranger, kid: own.kid }, typ, claims));
    scene.plane.broadcast('stream', await signJws(own, typ, { ...claims, tenant: 'ten_other' }));
    scene.plane.broadcast('stream', await signJws(own, typOf('pulse'), claims));
    scene.plane.broadcast('stream', await signJws(own, typ, { ...claims, seq: -1 }));
    scene.plane.broadcast('stream', Buffer.from([0xff, 0xfe, 0x00]));
    scene.plane.broadcast('stream', '');
    scene.plane.broadcast('stream', 'x'.repeat(600_000));
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
    const { seq } = await scene.plane.kill(agent);
    await eventually(() => expect(ep.state().applied).toBe(seq));
    expect(await ep.check(token)).toMatchObject({ code: 'agent_revoked' });
  });

  it('a tampered snapshot chunk spoils the whole snapshot; nothing is admitted until a true one comes', async () => {
    const dead = await scene.plane.token();
    await scene.plane.kill(dead.agent);
    scene.plane.tamperChunk = (chunk) => Buffer.from(chunk.toString().replace('agent:', 'agent;'));
    const before = scene.plane.snapshotRequests.length;
    const connecting = connected();
    await eventually(() => expect(scene.plane.snapshotRequests.length).toBeGreaterThan(before + 2));
    scene.plane.tamperChunk = null;
    const ep = await connecting;
    expect(ep.droppedMessages()['tampered_chunk']).toBeGreaterThan(0);
    expect(await ep.check(dead.token)).toMatchObject({ code: 'agent_revoked' });
    const alive = await scene.plane.token();
    expect(await ep.check(alive.token)).toMatchObject({ decision: 'allow' });
  });
});
