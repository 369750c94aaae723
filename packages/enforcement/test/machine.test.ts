import { MAX_TOKEN_SECONDS } from '@sever/protocol';
import { entryOf, MachineUnderTest, StreamByHand } from './support/machine-under-test';

const types = (effects: readonly { type: string }[]) => effects.map(({ type }) => type);

describe('BOOT', () => {
  it.each(['strict', 'best_effort'] as const)(
    'in %s, denies everything until a snapshot and a lease of this boot',
    (mode) => {
      const ep = new MachineUnderTest(mode);
      expect(ep.standing).toBe('starting');
      expect(types(ep.feed({ type: 'connected' }))).toContain('request_snapshot');
      expect(ep.standing).toBe('starting');
      expect(types(ep.snapshot())).toContain('request_lease');
      expect(ep.standing).toBe('starting');
      ep.lease();
      expect(ep.standing).toBe('fresh');
    },
  );

  it('asks for no lease before it holds a snapshot', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    expect(types(ep.pass(9_000))).not.toContain('request_lease');
  });

  it('keeps entries that come before the snapshot, and replays those that it does not cover', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    ep.entry(ep.stream.kill('one'));
    ep.entry(ep.stream.kill('two'));
    ep.snapshot({ seq: 1 });
    expect(ep.machine.chain.applied).toBe(2);
    expect(ep.machine.chain.digest).toBe(ep.stream.digestAt(2));
    expect([ep.denies('two'), ep.denies('three')]).toEqual([true, false]);
  });
});

describe('SNAPSHOT', () => {
  it('is refused when it is for another boot or answers another request', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    ep.snapshot({ boot_id: 'bot_before' });
    ep.snapshot({ nonce: 'nonce-of-somebody-else' });
    expect(ep.machine.dropped).toEqual({ foreign_snapshot: 2 });
    expect(types(ep.all)).not.toContain('request_lease');
    ep.snapshot();
    expect(types(ep.all)).toContain('request_lease');
  });

  it('is taken once: a replay of it changes nothing', () => {
    const ep = new MachineUnderTest().boot();
    const { nonce } = ep.asked('request_snapshot');
    ep.snapshot({ nonce }, [['f', 'agent:any', 9, ep.wall + 60_000, 'kil_9']]);
    expect(ep.denies('any')).toBe(false);
  });

  it('never takes it back behind what it has applied', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.kill('one'));
    ep.feed({ type: 'connected' });
    ep.snapshot({ seq: 0 });
    expect(ep.machine.dropped).toEqual({ older_snapshot: 1 });
    expect(ep.machine.chain.applied).toBe(1);
    expect(ep.denies('one')).toBe(true);
  });

  it('of an older epoch is refused, and asked for again', () => {
    const ep = new MachineUnderTest('strict', new StreamByHand(2)).boot();
    ep.feed({ type: 'connected' });
    ep.snapshot({ epoch: 1, seq: 50 });
    expect(ep.machine.chain.epoch).toBe(2);
    expect(types(ep.pass(1_000))).toContain('request_snapshot');
  });

  it('merges floors by maximum and replaces suspensions of its epoch', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.append({ op: 'floor', subject: 'agent:dead', generation: 5 }));
    ep.entry(ep.stream.append({ op: 'suspend', id: 'kil_s', subject: 'agent:paused' }));
    ep.feed({ type: 'connected' });
    ep.snapshot({}, [['f', 'agent:dead', 2, ep.wall + 60_000, 'kil_0']]);
    expect(ep.machine.view.denial([['agent:dead', 4]])).not.toBeNull();
    expect(ep.denies('paused')).toBe(false);
  });

  it('at the same place with another digest means divergence', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.kill('one'));
    ep.feed({ type: 'connected' });
    ep.snapshot({ digest: 'B'.repeat(43) });
    expect(ep.standing).toBe('dark');
    expect(ep.asked('alarm').alarm.kind).toBe('divergence');
  });

  it('after a silence longer than a token lives, ends all work admitted before', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.feed({ type: 'disconnected' });
    ep.pass(MAX_TOKEN_SECONDS * 1_000 + 1_000);
    ep.feed({ type: 'connected' });
    expect(ep.snapshot()).toContainEqual({ type: 'cut', because: 'floors_missing' });
  });

  it('after a shorter one, ends only what it denies', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.feed({ type: 'disconnected' });
    ep.pass(MAX_TOKEN_SECONDS * 1_000 - 5_000);
    ep.feed({ type: 'connected' });
    const effects = ep.snapshot();
    expect(types(effects)).not.toContain('cut');
    expect(effects).toContainEqual({ type: 'abort', subjects: null });
  });

  it('asks again when none comes, once for each that was lost', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    for (let lost = 0; lost < 3; lost += 1) {
      const { nonce } = ep.asked('request_snapshot');
      ep.feed({ type: 'snapshot_failed', nonce });
      expect(types(ep.pass(5_000)).filter((type) => type === 'request_snapshot')).toHaveLength(1);
    }
  });
});

describe('ENTRY', () => {
  it('in its turn: applied, aborts, then the receipt', () => {
    const ep = new MachineUnderTest().boot();
    const effects = ep.entry(ep.stream.kill('one'));
    expect(effects[0]).toEqual({ type: 'abort', subjects: ['agent:one'] });
    expect(types(effects)).toEqual(['abort', 'receipt']);
    expect([ep.denies('one'), ep.denies('two')]).toEqual([true, false]);
    expect(ep.standing).toBe('fresh');
  });

  it('beyond a gap: denies at once, acknowledges nothing, asks for what is missing', () => {
    const ep = new MachineUnderTest().boot();
    const lost = ep.stream.kill('lost');
    const effects = ep.entry(ep.stream.kill('seen'));
    expect(ep.denies('seen')).toBe(true);
    expect(effects).toContainEqual({ type: 'abort', subjects: ['agent:seen'] });
    expect(effects).toContainEqual({ type: 'request_range', epoch: 1, from: 1, to: 1 });
    expect(types(effects)).not.toContain('receipt');
    ep.entry(lost);
    expect(ep.machine.chain.applied).toBe(2);
    expect(ep.receipted.at(-1)).toBe(2);
    expect(ep.denies('other')).toBe(false);
  });

  it('beyond a gap, a lift waits for its turn', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.append({ op: 'suspend', id: 'kil_s', subject: 'agent:paused' }));
    const lost = ep.stream.kill('lost');
    ep.entry(ep.stream.append({ op: 'lift', id: 'kil_s' }));
    expect(ep.denies('paused')).toBe(true);
    ep.entry(lost);
    expect(ep.denies('paused')).toBe(false);
    expect(ep.denies('lost')).toBe(true);
  });

  it('a range that brings nothing is asked for again, and in the end a snapshot', () => {
    const ep = new MachineUnderTest().boot();
    ep.stream.kill('lost');
    ep.entry(ep.stream.kill('seen'));
    const effects = ep.pass(20_000);
    expect(types(effects).filter((type) => type === 'request_range').length).toBeGreaterThan(2);
    expect(types(effects)).toContain('request_snapshot');
  });

  it('a compacted range leads to a snapshot', () => {
    const ep = new MachineUnderTest().boot();
    ep.stream.kill('lost');
    ep.entry(ep.stream.kill('seen'));
    expect(types(ep.feed({ type: 'range', epoch: 1, compacted: true }))).toContain(
      'request_snapshot',
    );
  });

  it('a partial range is followed by the rest', () => {
    const ep = new MachineUnderTest().boot();
    const lost = ['a', 'b', 'c'].map((agent) => ep.stream.kill(agent));
    ep.entry(ep.stream.kill('seen'));
    ep.entry(lost[0]!);
    expect(ep.feed({ type: 'range', epoch: 1, compacted: false })).toContainEqual({
      type: 'request_range',
      epoch: 1,
      from: 2,
      to: 3,
    });
  });

  it('repeated, equal: a receipt again, and nothing else', () => {
    const ep = new MachineUnderTest().boot();
    const kill = ep.stream.kill('one');
    ep.entry(kill);
    const { version } = ep.machine.view;
    expect(types(ep.entry(kill))).toEqual(['receipt']);
    expect(ep.machine.view.version).toBe(version);
  });

  it('repeated with other content: divergence, dark', () => {
    const ep = new MachineUnderTest().boot();
    const { entry } = ep.stream.kill('one');
    ep.entry(ep.stream.entries[0]!);
    ep.entry(entryOf({ ...entry, kill_id: 'kil_other' }));
    expect(ep.standing).toBe('dark');
  });

  it('repeated but covered by the snapshot, so that no hash is kept: a receipt again', () => {
    const ep = new MachineUnderTest();
    const kill = ep.stream.kill('one');
    ep.boot();
    expect(types(ep.entry(kill))).toEqual(['receipt']);
    expect(ep.standing).toBe('fresh');
  });

  it('two different ones for the same place ahead: divergence, dark', () => {
    const ep = new MachineUnderTest().boot();
    ep.stream.kill('lost');
    const seen = ep.stream.kill('seen');
    ep.entry(seen);
    ep.entry(entryOf({ ...seen.entry, kill_id: 'kil_other' }));
    expect(ep.standing).toBe('dark');
  });

  it('that does not follow from what was applied: divergence, dark, and no receipt for it', () => {
    const ep = new MachineUnderTest().boot();
    const { entry } = ep.stream.kill('one');
    const effects = ep.entry(entryOf({ ...entry, digest: 'C'.repeat(43) }));
    expect(types(effects)).toEqual(['cut', 'alarm']);
    expect(ep.standing).toBe('dark');
    expect(ep.machine.darkBecause).toMatch(/divergence/);
    expect(ep.machine.nextDeadline()).toBe(Infinity);
  });

  it('keeps payload hashes for the last 10,000 places', () => {
    const ep = new MachineUnderTest().boot();
    for (let count = 0; count < 10_050; count += 1) ep.entry(ep.stream.kill(`a${count}`));
    const old = ep.stream.entries[10]!.entry;
    ep.entry(entryOf({ ...old, kill_id: 'kil_other' }));
    expect(ep.standing).toBe('fresh');
    const kept = ep.stream.entries[60]!.entry;
    ep.entry(entryOf({ ...kept, kill_id: 'kil_other' }));
    expect(ep.standing).toBe('dark');
  });

  it('of an older epoch is dropped', () => {
    const ep = new MachineUnderTest('strict', new StreamByHand(2)).boot();
    ep.entry(new StreamByHand(1).kill('one'));
    expect(ep.machine.dropped).toEqual({ older_epoch: 1 });
    expect(ep.denies('one')).toBe(false);
  });

  it('of a newer epoch is kept until the snapshot of that epoch, and forgets no denial', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.kill('before'));
    const newer = new StreamByHand(2);
    newer.kill('unseen');
    expect(types(ep.entry(newer.kill('after')))).toContain('request_snapshot');
    expect(ep.machine.chain.epoch).toBe(1);
    ep.snapshot({ seq: 1 }, [], newer);
    expect(ep.machine.chain).toMatchObject({ epoch: 2, applied: 2 });
    expect([ep.denies('before'), ep.denies('after'), ep.denies('other')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('with an op it does not know: its subject is denied, the place is passed, the receipt says nack', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.append({ op: 'quarantine', subject: 'agent:one' }));
    expect(ep.machine.chain.applied).toBe(1);
    expect([ep.denies('one'), ep.denies('two')]).toEqual([true, false]);
    expect(ep.asked('receipt').body.nacks).toEqual([{ seq: 1, error: 'unknown op "quarantine"' }]);
  });

  it('hands a new key on in its turn, and a dead one at once', () => {
    const ep = new MachineUnderTest().boot();
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: 'x'.repeat(43) } as const;
    const next = { op: 'key', purpose: 'stream', kid: 'k1', state: 'next', jwk } as const;
    const lost = ep.stream.kill('lost');
    expect(types(ep.entry(ep.stream.append(next)))).not.toContain('key');
    expect(ep.entry(lost)).toContainEqual(expect.objectContaining({ type: 'key', kid: 'k1' }));
    ep.stream.kill('lost too');
    const dead = { op: 'key', purpose: 'token', kid: 'k2', state: 'dead' } as const;
    const effects = ep.entry(ep.stream.append(dead, 'kil_k'));
    expect(effects).toContainEqual(expect.objectContaining({ type: 'key', state: 'dead' }));
    expect(effects).toContainEqual({ type: 'abort', subjects: ['signing_key:k2'] });
    expect(ep.machine.view.denial([['signing_key:k2', 1]])).toMatchObject({ terminal: true });
    expect(ep.machine.view.denial([['signing_key:k1', 1]])).toBeNull();
  });
});

describe('PULSE', () => {
  it('shows a head that was not reached within 200 ms, and only then', () => {
    const ep = new MachineUnderTest().boot();
    ep.stream.kill('lost');
    ep.pulse({ n: 1, head: 1 });
    expect(types(ep.pass(190))).not.toContain('request_range');
    expect(ep.pass(20)).toContainEqual({ type: 'request_range', epoch: 1, from: 1, to: 1 });
  });

  it('asks for nothing when the entry arrives in time', () => {
    const ep = new MachineUnderTest().boot();
    const late = ep.stream.kill('late');
    ep.pulse({ n: 1, head: 1 });
    ep.pass(100);
    ep.entry(late);
    expect(types(ep.pass(500))).not.toContain('request_range');
  });

  it('counts once for each source', () => {
    const ep = new MachineUnderTest().boot();
    ep.pulse({ n: 5, head: 0 });
    ep.pulse({ n: 5, head: 9 });
    ep.pulse({ n: 4, head: 9 });
    expect(ep.machine.dropped).toEqual({ replayed_pulse: 2 });
    expect(types(ep.pass(300))).not.toContain('request_range');
    ep.pulse({ n: 1, head: 9, source: 'other' });
    expect(types(ep.pass(300))).toContain('request_range');
  });

  it('proves neither freshness nor divergence', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.kill('one'));
    ep.pulse({ n: 1, head: 0 });
    expect(ep.standing).toBe('fresh');
    for (let n = 2; n < 30; n += 1) {
      ep.pass(500);
      ep.pulse({ n, head: 1 });
    }
    expect(ep.standing).toBe('no_lease');
  });

  it('of a newer epoch leads to a snapshot; of an older one to nothing', () => {
    const ep = new MachineUnderTest('strict', new StreamByHand(2)).boot();
    ep.pulse({ n: 1, head: 99, epoch: 1 });
    expect(types(ep.pass(300))).not.toContain('request_range');
    expect(types(ep.pulse({ n: 2, head: 0, epoch: 3 }))).toContain('request_snapshot');
  });
});

describe('LEASE', () => {
  it('runs from the moment its request was sent', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    ep.snapshot();
    ep.pass(1_900);
    ep.lease({ valid_ms: 2_000 });
    expect(ep.standing).toBe('fresh');
    ep.pass(101);
    expect(ep.standing).toBe('no_lease');
  });

  it('is asked for every quarter of its length, and the last receipt goes along', () => {
    const ep = new MachineUnderTest().boot();
    const effects = ep.pass(2_500);
    expect(types(effects)).toEqual(['request_lease', 'receipt']);
  });

  it('counts only once everything up to its head is applied', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    ep.snapshot();
    const kill = ep.stream.kill('one');
    const effects = ep.lease({ head: 1 });
    expect(effects).toContainEqual({ type: 'request_range', epoch: 1, from: 1, to: 1 });
    expect(ep.standing).toBe('starting');
    ep.entry(kill);
    expect(ep.standing).toBe('fresh');
  });

  it('with a head behind what was sent means divergence', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.kill('one'));
    ep.pass(2_500);
    ep.lease({ head: 0 });
    expect(ep.standing).toBe('dark');
  });

  it('of another epoch is none: newer leads to a snapshot', () => {
    const ep = new MachineUnderTest('strict', new StreamByHand(2));
    ep.feed({ type: 'connected' });
    ep.snapshot();
    ep.lease({ epoch: 1 });
    expect(ep.standing).toBe('starting');
    ep.pass(3_000);
    expect(types(ep.lease({ epoch: 3 }))).toContain('request_snapshot');
    expect(ep.standing).toBe('starting');
  });

  it('is granted once by a reply, and only to this boot', () => {
    const ep = new MachineUnderTest().boot();
    const { nonce } = ep.asked('request_lease');
    ep.pass(10_001);
    ep.lease({ nonce });
    ep.lease({ boot_id: 'bot_0' });
    ep.lease({ ep: 'enf_2' });
    expect(ep.standing).toBe('no_lease');
    expect(ep.machine.dropped).toEqual({ unexpected_lease: 3 });
    ep.lease();
    expect(ep.standing).toBe('fresh');
  });

  it('refused for an unknown boot leads to a snapshot; for divergence, to darkness', () => {
    const ep = new MachineUnderTest().boot();
    ep.pass(2_500);
    ep.refuseLease('boot_unknown');
    expect(types(ep.pass(500))).toContain('request_snapshot');
    ep.snapshot();
    ep.refuseLease('divergence');
    expect(ep.standing).toBe('dark');
  });

  it('refused because it is revoked darkens it until one is granted again', () => {
    const ep = new MachineUnderTest().boot();
    ep.pass(2_500);
    expect(types(ep.refuseLease('revoked'))).toEqual(['cut', 'alarm']);
    expect(ep.standing).toBe('dark');
    ep.pass(2_500);
    ep.lease();
    expect(ep.standing).toBe('fresh');
  });
});

describe('LAPSE', () => {
  it('strict: holds at once, releases with a lease within 30 s', () => {
    const ep = new MachineUnderTest().boot();
    const effects = ep.pass(10_001);
    expect(types(effects).filter((type) => type === 'hold')).toHaveLength(1);
    expect(types(ep.pass(20_000))).not.toContain('cut');
    expect(types(ep.lease())).toContain('release');
    expect(types(ep.pass(9_000))).not.toContain('cut');
  });

  it('strict: cuts once after 30 s', () => {
    const ep = new MachineUnderTest().boot();
    expect(ep.pass(90_000).filter(({ type }) => type === 'cut')).toEqual([
      { type: 'cut', because: 'lapse' },
    ]);
  });

  it('best_effort: neither holds nor cuts, and says that it is stale', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    const effects = types(ep.pass(90_000));
    expect(effects).not.toContain('hold');
    expect(effects).not.toContain('cut');
    expect(ep.standing).toBe('stale');
  });
});

describe('RECONNECT', () => {
  it('goes on under the running lease, forgets no denial, and renews nothing before a snapshot', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.kill('one'));
    ep.pass(2_500);
    const { nonce } = ep.asked('request_lease');
    ep.feed({ type: 'disconnected' });
    ep.feed({ type: 'connected' });
    expect(ep.standing).toBe('fresh');
    expect(ep.denies('one')).toBe(true);
    ep.lease({ nonce });
    expect(ep.machine.dropped).toEqual({ unexpected_lease: 1 });
    expect(types(ep.pass(7_600))).not.toContain('request_lease');
    expect(ep.standing).toBe('no_lease');
    ep.snapshot();
    ep.lease();
    expect(ep.standing).toBe('fresh');
  });

  it('does the same when messages may have been lost on a standing connection', () => {
    const ep = new MachineUnderTest().boot();
    expect(types(ep.feed({ type: 'suspect' }))).toContain('request_snapshot');
    expect(ep.standing).toBe('fresh');
  });
});

describe('CLOCK', () => {
  it('a suspended machine (monotonic clock stands still) has lost its lease at the first look', () => {
    const ep = new MachineUnderTest().boot();
    ep.wall += 60_000;
    expect(ep.standing).toBe('no_lease');
    ep.wall -= 60_000;
    expect(ep.standing).toBe('no_lease');
    expect(types(ep.feed({ type: 'tick' }))).toContain('hold');
  });

  it('a drift of up to a second, and a wall clock read as wrong all along, do not matter', () => {
    const ep = new MachineUnderTest();
    ep.wall -= 3_600_000;
    ep.boot();
    ep.wall += 900;
    expect(ep.standing).toBe('fresh');
  });

  it('small drifts are summed from the lease request on', () => {
    const ep = new MachineUnderTest().boot();
    for (let step = 0; step < 3; step += 1) {
      ep.pass(100);
      ep.wall += 400;
      expect(ep.standing).toBe(step < 2 ? 'fresh' : 'no_lease');
    }
    expect(ep.standing).toBe('no_lease');
  });

  it('voids the request too: its reply starts no lease', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    ep.snapshot();
    ep.wall += 5_000;
    ep.lease();
    expect(ep.standing).toBe('starting');
  });

  it('now is the later of the own wall clock and the last signed one', () => {
    const ep = new MachineUnderTest().boot();
    const signed = ep.wall;
    ep.wall -= 600;
    expect(ep.machine.now(ep.at)).toBe(signed);
    ep.wall += 900;
    expect(ep.machine.now(ep.at)).toBe(ep.wall);
  });

  it('drops floors by signed time alone', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.entry(ep.stream.kill('one'));
    ep.pass(3_600_000);
    expect(ep.denies('one')).toBe(true);
    ep.lease();
    expect(ep.denies('one')).toBe(false);
  });
});

describe('EMERGENCY', () => {
  const emergency = (ep: MachineUnderTest, subjects: string[]) =>
    ep.feed({
      type: 'emergency',
      emergency: {
        type: 'emergency',
        v: 1,
        tenant: 'ten_1',
        kill_id: 'kil_e',
        subjects,
        issued_at: ep.wall,
        not_after: ep.wall + 86_400_000,
      },
    });

  it('denies every generation at once; each entry closes it for its own subject alone', () => {
    const ep = new MachineUnderTest().boot();
    emergency(ep, ['agent:one', 'agent:two']);
    expect(ep.machine.view.denial([['agent:one', 99]])).toMatchObject({ killId: 'kil_e' });
    ep.entry(ep.stream.append({ op: 'floor', subject: 'agent:one', generation: 2 }, 'kil_e'));
    expect(ep.machine.view.denial([['agent:one', 2]])).toBeNull();
    expect(ep.machine.view.denial([['agent:one', 1]])).not.toBeNull();
    expect(ep.machine.view.denial([['agent:two', 2]])).not.toBeNull();
    expect(ep.denies('three')).toBe(false);
  });

  it('replayed after its entry, it stays closed', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.append({ op: 'floor', subject: 'agent:one', generation: 2 }, 'kil_e'));
    emergency(ep, ['agent:one']);
    expect(ep.machine.view.denial([['agent:one', 2]])).toBeNull();
  });
});

describe('the enforcement point as a subject', () => {
  it.each(['enforcement_point:enf_1', 'enrolment_key:enr_1'])(
    'a suspension of %s darkens it, is receipted, and ends with the lift',
    (subject) => {
      const ep = new MachineUnderTest().boot();
      const effects = ep.entry(ep.stream.append({ op: 'suspend', id: 'kil_s', subject }));
      expect(effects).toContainEqual({ type: 'cut', because: 'dark' });
      expect(ep.standing).toBe('dark');
      expect(ep.receipted.at(-1)).toBe(1);
      ep.entry(ep.stream.append({ op: 'lift', id: 'kil_s' }));
      expect(ep.standing).toBe('fresh');
    },
  );

  it('a suspension of another one does not concern it', () => {
    const ep = new MachineUnderTest().boot();
    const subject = 'enforcement_point:enf_2';
    ep.entry(ep.stream.append({ op: 'suspend', id: 'kil_s', subject }));
    expect(ep.standing).toBe('fresh');
  });
});

describe('RECEIPT', () => {
  it('waits within the window, at most one in each, and covers what was applied meanwhile', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed({
      type: 'pulse',
      pulse: {
        type: 'pulse',
        v: 1,
        tenant: 'ten_1',
        epoch: 1,
        head: 0,
        source: 'replica',
        n: 1,
        now: ep.wall,
        receipt_window_ms: 40,
      },
    });
    ep.pass(100);
    const before = ep.receipted.length;
    for (const agent of ['a', 'b', 'c']) ep.entry(ep.stream.kill(agent));
    expect(ep.receipted.length).toBe(before);
    ep.pass(30);
    expect(ep.receipted.slice(before)).toEqual([3]);
    ep.entry(ep.stream.kill('d'));
    ep.pass(9);
    expect(ep.receipted.slice(before)).toEqual([3]);
    ep.pass(60);
    expect(ep.receipted.slice(before)).toEqual([3, 4]);
  });
});
