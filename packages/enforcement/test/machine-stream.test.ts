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

  it('then aborts first what it denies, so that its kills account for that work', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.feed({ type: 'disconnected' });
    ep.pass(MAX_TOKEN_SECONDS * 1_000 + 1_000);
    ep.feed({ type: 'connected' });
    const order = types(ep.snapshot()).filter((type) => ['abort', 'cut', 'receipt'].includes(type));
    expect(order).toEqual(['abort', 'cut', 'receipt']);
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
