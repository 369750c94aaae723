import { MachineUnderTest, StreamByHand } from './support/machine-under-test';

const types = (effects: readonly { type: string }[]) => effects.map(({ type }) => type);

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

  it('strict: a renewal that comes before any timer has seen the lapse still tells the hold and the release', () => {
    const ep = new MachineUnderTest().boot();
    ep.pass(2_500);
    // The process was not run while the lease ended and its renewal, sent later than the first, came in.
    ep.mono += 7_501;
    ep.wall += 7_501;
    expect(ep.standing).toBe('no_lease');
    const told = types(ep.lease()).filter((type) => type === 'hold' || type === 'release');
    expect(told).toEqual(['hold', 'release']);
    expect(ep.standing).toBe('fresh');
  });

  it('strict: a renewal before the end of the lease holds nothing', () => {
    const ep = new MachineUnderTest().boot();
    ep.pass(2_500);
    ep.mono += 7_000;
    ep.wall += 7_000;
    expect(types(ep.lease())).not.toContain('hold');
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

  it('takes a snapshot asked for before a loss, but renews nothing before one asked for after it', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed({ type: 'suspect' });
    const before = ep.asked('request_snapshot').nonce;
    ep.entry(ep.stream.kill('one'));
    for (let loss = 0; loss < 3; loss += 1) ep.feed({ type: 'suspect' });
    const effects = types(ep.snapshot());
    expect(effects.filter((type) => type === 'request_snapshot')).toHaveLength(1);
    expect(ep.asked('request_snapshot').nonce).not.toBe(before);
    expect(types(ep.pass(5_000))).not.toContain('request_lease');
    expect(types(ep.snapshot())).toContain('request_lease');
    expect(types(ep.snapshot())).not.toContain('request_snapshot');
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

describe('a process that stood still', () => {
  it('admits nothing on the lease it had, nor on a reply from before, until one asked for afterwards comes', () => {
    const ep = new MachineUnderTest().boot();
    expect(ep.standing).toBe('fresh');
    expect(types(ep.feed({ type: 'thawed' }))).toEqual(
      expect.arrayContaining(['hold', 'request_lease']),
    );
    expect(ep.standing).toBe('no_lease');
    ep.lease();
    expect(ep.standing).toBe('fresh');
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
      expect(effects).toContainEqual({ type: 'cut', because: 'dark', killId: 'kil_s' });
      expect(ep.standing).toBe('dark');
      expect(ep.receipted.at(-1)).toBe(1);
      ep.entry(ep.stream.append({ op: 'lift', id: 'kil_s' }));
      expect(ep.standing).toBe('fresh');
    },
  );

  it('an order that comes after a refused lease still accounts for what runs, without a second alarm', () => {
    const ep = new MachineUnderTest().boot();
    ep.pass(2_500);
    ep.refuseLease('revoked');
    const subject = 'enforcement_point:enf_1';
    const effects = ep.entry(ep.stream.append({ op: 'suspend', id: 'kil_s', subject }));
    expect(effects).toContainEqual({ type: 'cut', because: 'dark', killId: 'kil_s' });
    expect(types(effects)).not.toContain('alarm');
  });

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
    ep.pass(25);
    expect(ep.receipted.slice(before)).toEqual([3]);
    ep.pass(60);
    expect(ep.receipted.slice(before)).toEqual([3, 4]);
  });
});
