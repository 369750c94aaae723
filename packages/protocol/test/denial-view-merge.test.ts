import fc from 'fast-check';
import { DenialView, type InForce, type Lineage } from '../src/semantics';

/**
 * The view against a model that is nothing but the definitions: dead = below the highest floor ever asked for;
 * suspended = under an id that was never lifted. The model looks at the set of messages, so it knows no order.
 */
type Message =
  | { kind: 'floor'; subject: string; generation: number; killId: string; keepUntil: number }
  | { kind: 'suspend'; id: string; subject: string }
  | { kind: 'lift'; id: string }
  | { kind: 'emergency'; id: string; subject: string };
type Verdict = 'alive' | 'suspended' | 'killed';

const SUBJECTS = ['tenant:t', 'agent:a', 'agent:b', 'agent:c', 'label:k:v', 'credential:x'];
const subject = fc.constantFrom(...SUBJECTS);
/** One pool for both, so that lifts meet suspensions and emergencies of the same id. */
const orderId = fc.constantFrom('kil_1', 'kil_2', 'kil_3', 'kil_4');
const floorMessage = fc.record({
  kind: fc.constant('floor' as const),
  subject,
  generation: fc.integer({ min: 1, max: 6 }),
  killId: orderId,
  keepUntil: fc.integer({ min: 1, max: 100 }),
});
const message: fc.Arbitrary<Message> = fc.oneof(
  floorMessage,
  fc.record({ kind: fc.constant('suspend' as const), id: orderId, subject }),
  fc.record({ kind: fc.constant('lift' as const), id: orderId }),
  fc.record({ kind: fc.constant('emergency' as const), id: orderId, subject }),
);
const lineage: fc.Arbitrary<Lineage> = fc.array(fc.tuple(subject, fc.integer({ min: 1, max: 6 })), {
  minLength: 1,
  maxLength: 6,
});

function tell(view: DenialView, one: Message, seq = 1): void {
  switch (one.kind) {
    case 'floor':
      return view.raiseFloor(one.subject, one);
    case 'suspend':
      return view.suspend(one.id, { subject: one.subject, epoch: 1, seq });
    case 'lift':
      return view.lift(one.id);
    case 'emergency':
      return view.stopInEmergency(one.id, one.subject);
  }
}

function expected(messages: readonly Message[], of: Lineage): Verdict {
  const lifted = new Set(messages.filter((m) => m.kind === 'lift').map((m) => m.id));
  const meets = (m: Message, kind: 'suspend' | 'emergency') =>
    m.kind === kind && !lifted.has(m.id) && of.some(([name]) => name === m.subject);
  const killed = messages.some(
    (m) =>
      m.kind === 'floor' &&
      of.some(([name, generation]) => name === m.subject && generation < m.generation),
  );
  if (killed || messages.some((m) => meets(m, 'emergency'))) return 'killed';
  return messages.some((m) => meets(m, 'suspend')) ? 'suspended' : 'alive';
}

function verdict(view: DenialView, of: Lineage): Verdict {
  const denial = view.denial(of);
  return denial === null ? 'alive' : denial.terminal ? 'killed' : 'suspended';
}

const floorsOf = (view: DenialView) => new Map(view.floorEntries());

/** The messages, and the same messages shuffled with some of them repeated. */
const disorder = fc.array(message, { maxLength: 14 }).chain((messages) =>
  fc.tuple(
    fc.constant(messages),
    fc
      .shuffledSubarray([...messages, ...messages], {
        minLength: messages.length,
        maxLength: messages.length * 2,
      })
      .map((some) => [...some, ...messages.filter((m) => !some.includes(m))]),
  ),
);

describe('the denial view, whatever order its messages come in and however often', () => {
  it('decides what the definitions say', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 14 }), fc.array(lineage), (messages, lineages) => {
        const view = new DenialView();
        for (const one of messages) tell(view, one);
        for (const of of lineages) expect(verdict(view, of)).toBe(expected(messages, of));
      }),
      { numRuns: 1_000 },
    );
  });

  it('decides the same, and holds the same floors to the letter', () => {
    fc.assert(
      fc.property(disorder, fc.array(lineage), ([messages, disordered], lineages) => {
        const straight = new DenialView();
        const shuffled = new DenialView();
        for (const one of messages) tell(straight, one);
        for (const one of disordered) tell(shuffled, one);
        for (const of of lineages) expect(verdict(shuffled, of)).toBe(verdict(straight, of));
        const fields = (view: DenialView) =>
          [...floorsOf(view)]
            .map(([name, { generation, killId, keepUntil }]) => [
              name,
              generation,
              killId,
              keepUntil,
            ])
            .sort();
        expect(fields(shuffled)).toEqual(fields(straight));
      }),
      { numRuns: 1_000 },
    );
  });

  it('never lowers a floor and never shortens how long it is kept', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 20 }), (messages) => {
        const view = new DenialView();
        for (const one of messages) {
          const before = floorsOf(view);
          tell(view, one);
          const after = floorsOf(view);
          for (const [name, floor] of before) {
            expect(after.get(name)?.generation).toBeGreaterThanOrEqual(floor.generation);
            expect(after.get(name)?.keepUntil).toBeGreaterThanOrEqual(floor.keepUntil);
          }
        }
      }),
    );
  });

  it('never again refuses anybody under an id that was lifted', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 14 }), orderId, lineage, (messages, id, of) => {
        const view = new DenialView();
        view.lift(id);
        for (const one of messages) if (one.kind !== 'floor') tell(view, one);
        expect(view.denial(of)?.killId).not.toBe(id);
      }),
    );
  });

  it('a memo made at one version holds while the version stands still', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 14 }), lineage, (messages, of) => {
        const view = new DenialView();
        for (const one of messages) {
          const memo = { version: view.version, verdict: verdict(view, of) };
          tell(view, one);
          if (view.version === memo.version) expect(verdict(view, of)).toBe(memo.verdict);
        }
      }),
    );
  });

  it('dropping by the signed clock forgets no floor that must still be kept', () => {
    fc.assert(
      fc.property(fc.array(floorMessage), fc.nat(100), (floors, now) => {
        const view = new DenialView();
        for (const one of floors) tell(view, one);
        const before = floorsOf(view);
        view.drop(now);
        for (const [name, floor] of before)
          expect(floorsOf(view).has(name)).toBe(floor.keepUntil >= now);
      }),
    );
  });
});

describe('a snapshot and the entries after it', () => {
  const stream = fc.array(
    message.filter((m) => m.kind !== 'emergency'),
    { maxLength: 16 },
  );

  /** What the control plane would list at `seq`: the state, not the history. */
  function snapshotAt(entries: readonly Message[], seq: number): InForce {
    const past = entries.slice(0, seq);
    const lifted = new Set(past.filter((m) => m.kind === 'lift').map((m) => m.id));
    const oracle = new DenialView();
    for (const one of past) tell(oracle, one);
    return {
      epoch: 1,
      seq,
      floors: oracle.floorEntries(),
      suspensions: past.flatMap((m, index) =>
        m.kind === 'suspend' && !lifted.has(m.id)
          ? [[m.id, { subject: m.subject, epoch: 1, seq: index + 1 }] as const]
          : [],
      ),
      emergencies: [],
      lifted,
    };
  }

  it('give what the whole stream gives, also to a view that has seen parts of it out of order', () => {
    fc.assert(
      fc.property(
        stream,
        fc.nat(16),
        fc.array(fc.nat(15)),
        fc.array(lineage),
        (entries, at, seenBefore, lineages) => {
          const seq = Math.min(at, entries.length);
          const view = new DenialView();
          for (const index of seenBefore) {
            const seen = entries[index];
            if (seen) tell(view, seen, index + 1);
          }
          view.merge(snapshotAt(entries, seq));
          entries.slice(seq).forEach((one, index) => tell(view, one, seq + index + 1));
          for (const of of lineages) expect(verdict(view, of)).toBe(expected(entries, of));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('merging a snapshot twice changes nothing', () => {
    fc.assert(
      fc.property(stream, lineage, (entries, of) => {
        const once = new DenialView();
        once.merge(snapshotAt(entries, entries.length));
        const twice = new DenialView();
        twice.merge(snapshotAt(entries, entries.length));
        twice.merge(snapshotAt(entries, entries.length));
        expect(verdict(twice, of)).toBe(verdict(once, of));
        expect(floorsOf(twice)).toEqual(floorsOf(once));
      }),
    );
  });

  it('a snapshot never revives a kill, wherever in the stream it was read', () => {
    fc.assert(
      fc.property(stream, fc.nat(16), lineage, (entries, at, of) => {
        const view = new DenialView();
        entries.forEach((one, index) => tell(view, one, index + 1));
        const before = verdict(view, of);
        view.merge(snapshotAt(entries, Math.min(at, entries.length)));
        if (before === 'killed') expect(verdict(view, of)).toBe('killed');
      }),
    );
  });
});
