import type { Lineage, Mode, Position } from '@sever/protocol';
import { check } from './checker';
import type { CommitEvent, DecisionEvent, HistoryEvent } from './events';
import { fromLine, toLine } from './history';

/** Milliseconds since some moment, as the shared clock counts. */
const ms = (moment: number): bigint => BigInt(Math.round(moment * 1_000_000));
const at = (seq: number, epoch = 1): Position => ({ epoch, seq });
const LEASE_MS = 2_000;
/** Lease, a second, a tenth of the lease. */
const BOUND_MS = 3_200;

const lineage = (agent: string): Lineage => [
  ['tenant:t', 1],
  ['agent:root', 1],
  [`agent:${agent}`, 1],
];
const credential = (name: string, agent = 'doomed'): HistoryEvent => ({
  ...{ kind: 'credential', at: ms(0), credential: name, lineage: lineage(agent) },
});
const commit = (changes: Partial<CommitEvent> = {}): CommitEvent => ({
  ...{ kind: 'commit', at: ms(1_000), order: 'kil_1', does: 'floor', subject: 'agent:doomed' },
  ...{ floor: 2, position: at(1), digest: 'digest of 1', leaseMs: LEASE_MS },
  ...changes,
});
const decision = (
  kind: 'admit' | 'deny',
  asked: number,
  changes: Partial<DecisionEvent> = {},
): DecisionEvent => ({
  ...{ kind, at: ms(asked), until: ms(asked + 1), point: 'enp_a', boot: 'bot_a', mode: 'strict' },
  ...{ credential: 'crd_doomed', stale: false },
  ...changes,
});
const receipt = (moment: number, position: Position, digest = 'digest of 1'): HistoryEvent => ({
  ...{ kind: 'receipt', road: 'nats', at: ms(moment), point: 'enp_a', boot: 'bot_a' },
  ...{ position, digest },
});
const apply = (asked: number, position: Position, boot = 'bot_a'): HistoryEvent => ({
  ...{ kind: 'apply', at: ms(asked), until: ms(asked + 1), point: 'enp_a', boot, position },
});
const contained = (
  answered: number,
  status: string,
  mode: Mode = 'strict',
  boot = 'bot_a',
): HistoryEvent => ({
  ...{ kind: 'contained', at: ms(answered - 1), until: ms(answered), order: 'kil_1' },
  ...{ position: at(1), by: [{ point: 'enp_a', boot, status, mode }] },
});

const invariants = (...events: HistoryEvent[]): string[] =>
  check([credential('crd_doomed'), credential('crd_survivor', 'survivor'), ...events]).map(
    ({ invariant }) => invariant,
  );

describe('the checker of histories', () => {
  it('finds nothing in a kill as it should go', () => {
    expect(
      invariants(
        { kind: 'ask', at: ms(990), subject: 'agent:doomed' },
        commit(),
        apply(500, at(0)),
        decision('admit', 900),
        decision('admit', 1_001),
        { kind: 'publish', at: ms(1_002), point: 'enp_a', position: at(1) },
        receipt(1_005, at(1)),
        decision('deny', 1_006, { code: 'agent_revoked' }),
        decision('admit', 1_007, { credential: 'crd_survivor' }),
        apply(1_008, at(1)),
        contained(1_010, 'enforced'),
        decision('deny', 9_000, { code: 'agent_revoked' }),
        decision('admit', 9_001, { credential: 'crd_survivor' }),
      ),
    ).toEqual([]);
  });

  describe('I1', () => {
    it('is broken by an admission after the receipt', () => {
      expect(invariants(commit(), receipt(1_005, at(1)), decision('admit', 1_006))).toEqual(['I1']);
      expect(invariants(commit(), receipt(1_005, at(7), 'x'), decision('admit', 1_006))).toEqual([
        'I1',
      ]);
    });

    it('is not broken by one that was asked for before it, of a survivor, or at another boot', () => {
      expect(invariants(commit(), receipt(1_005, at(1)), decision('admit', 1_004.5))).toEqual([]);
      const survivor = { credential: 'crd_survivor' };
      expect(
        invariants(commit(), receipt(1_005, at(1)), decision('admit', 1_006, survivor)),
      ).toEqual([]);
      const other = { boot: 'bot_b' };
      expect(invariants(commit(), receipt(1_005, at(1)), decision('admit', 1_006, other))).toEqual(
        [],
      );
    });

    it('reckons with generations: what was issued after a reinstatement lives', () => {
      const reinstated: HistoryEvent = {
        ...{ kind: 'credential', at: ms(2_000), credential: 'crd_new' },
        lineage: [['agent:doomed', 2]],
      };
      const admitted = decision('admit', 2_500, { credential: 'crd_new' });
      expect(invariants(commit(), receipt(1_005, at(1)), reinstated, admitted)).toEqual([]);
    });

    it('holds a suspension until it is lifted, and only one that stops calls', () => {
      const suspended = commit({ does: 'suspend', floor: undefined as never });
      const said = receipt(1_005, at(1));
      expect(invariants(suspended, said, decision('admit', 1_500))).toEqual(['I1']);
      const lifted = commit({
        ...{ at: ms(1_400), order: 'kil_1', does: 'lift', subject: 'kil_1', position: at(2) },
      });
      expect(invariants(suspended, said, lifted, decision('admit', 1_500))).toEqual([]);
      expect(invariants(suspended, said, lifted, decision('admit', 1_300))).toEqual(['I1']);
      const narrow = commit({ does: 'suspend', level: 'deny_spawn' });
      expect(invariants(narrow, said, decision('admit', 1_500))).toEqual([]);
    });

    it('takes a receipt of a later epoch for one of all that came before', () => {
      expect(invariants(commit(), receipt(1_005, at(0, 2)), decision('admit', 1_006))).toEqual([
        'I1',
      ]);
    });
  });

  describe('I3', () => {
    it('is broken by whoever is called enforced without a receipt, or with a late one', () => {
      expect(invariants(commit(), contained(1_010, 'enforced'))).toEqual(['I3']);
      expect(invariants(commit(), receipt(1_020, at(1)), contained(1_010, 'enforced'))).toEqual([
        'I3',
      ]);
      expect(invariants(commit(), receipt(1_005, at(0)), contained(1_010, 'enforced'))).toEqual([
        'I3',
      ]);
    });

    it('is broken by whoever is called dark before it can be', () => {
      expect(invariants(commit(), contained(1_000 + BOUND_MS - 500, 'dark'))).toEqual(['I3']);
      expect(invariants(commit(), contained(9_000, 'dark', 'best_effort'))).toEqual(['I3']);
    });

    it('is kept by a strict one past the bound, by a leaver, and by one that was replaced', () => {
      expect(invariants(commit(), contained(1_000 + BOUND_MS + 1, 'dark'))).toEqual([]);
      const left: HistoryEvent = { kind: 'leave', at: ms(900), point: 'enp_a', boot: 'bot_a' };
      expect(invariants(commit(), left, contained(1_010, 'dark', 'best_effort'))).toEqual([]);
      const next = apply(1_005, at(1), 'bot_b');
      expect(invariants(commit(), next, contained(1_010, 'dark', 'best_effort'))).toEqual([]);
    });

    it('is broken by an admission anywhere after the reply', () => {
      const elsewhere = decision('admit', 1_011, {
        point: 'enp_b',
        boot: 'bot_b',
        mode: 'best_effort',
      });
      const events = [commit(), receipt(1_005, at(1)), contained(1_010, 'enforced')];
      expect(invariants(...events, elsewhere)).toEqual(['I3']);
      expect(invariants(...events, { ...elsewhere, at: ms(1_009) })).toEqual([]);
    });
  });

  it('I4 is broken by a strict one after the bound, and by no other', () => {
    expect(invariants(commit(), decision('admit', 1_000 + BOUND_MS + 1))).toEqual(['I4']);
    expect(invariants(commit(), decision('admit', 1_000 + BOUND_MS - 1))).toEqual([]);
    const late = decision('admit', 9_000, { mode: 'best_effort', stale: true });
    expect(invariants(commit(), late)).toEqual([]);
  });

  it('I5 is broken by another digest, in a receipt or in what a lease is asked with', () => {
    expect(invariants(commit(), receipt(1_005, at(1), 'another'))).toEqual(['I5']);
    const asked: HistoryEvent = {
      ...{ kind: 'lease_request', road: 'nats', at: ms(1_005), point: 'enp_a', boot: 'bot_a' },
      ...{ position: at(1), digest: 'another' },
    };
    expect(invariants(commit(), asked)).toEqual(['I5']);
    expect(invariants(commit(), { ...asked, digest: 'digest of 1' })).toEqual([]);
  });

  describe('I7', () => {
    it('is broken by a state or a receipt that goes back', () => {
      expect(invariants(apply(100, at(5)), apply(102, at(4)))).toEqual(['I7']);
      expect(invariants(apply(100, at(5)), apply(102, at(9, 0)))).toEqual(['I7']);
      expect(invariants(receipt(100, at(5)), receipt(102, at(4)))).toEqual(['I7']);
      const overtaken = { ...receipt(102, at(4)), road: 'http' } as HistoryEvent;
      expect(invariants(receipt(100, at(5)), overtaken)).toEqual([]);
    });

    it('is broken by a receipt that says more than decisions are taken on', () => {
      expect(invariants(receipt(100, at(5)), apply(101, at(4)))).toEqual(['I7']);
      expect(invariants(commit(), apply(1_001, at(1)), decision('admit', 1_003))).toEqual(['I7']);
    });

    it('is not broken by answers that overlap, by a new boot, or by a receipt on its way', () => {
      const slow = { ...apply(100, at(5)), until: ms(110) } as HistoryEvent;
      expect(invariants(slow, apply(105, at(4)))).toEqual([]);
      expect(invariants(apply(100, at(5)), apply(102, at(0), 'bot_b'))).toEqual([]);
      expect(invariants(apply(100, at(5)), receipt(102, at(4)), apply(103, at(5)))).toEqual([]);
    });
  });

  it('I15 is broken by a strict one that admits while stale', () => {
    const stale = { credential: 'crd_survivor', stale: true };
    expect(invariants(decision('admit', 5, stale))).toEqual(['I15']);
    expect(invariants(decision('admit', 5, { ...stale, mode: 'best_effort' }))).toEqual([]);
  });

  it('tells of a refusal that nobody ordered', () => {
    const refused = decision('deny', 1_500, { credential: 'crd_survivor', code: 'agent_revoked' });
    expect(invariants(commit(), refused)).toEqual(['no false denial']);
    expect(invariants(commit(), { ...refused, code: 'enforcement_stale' })).toEqual([]);
    const early = decision('deny', 500, { code: 'agent_revoked' });
    expect(invariants(commit(), early)).toEqual(['no false denial']);
    expect(invariants({ kind: 'ask', at: ms(400), subject: 'agent:doomed' }, early)).toEqual([]);
  });

  it('reads histories back from their lines, and sorts what several processes wrote', () => {
    const events = [decision('admit', 1_006), receipt(1_005, at(1)), commit()];
    expect(events.map(toLine).map(fromLine)).toEqual(events);
    expect(invariants(...events.map(toLine).map(fromLine))).toEqual(['I1']);
  });
});
