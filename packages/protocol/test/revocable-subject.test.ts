import fc from 'fast-check';
import {
  KILLABLE_KINDS,
  MAX_SUBJECT_LENGTH,
  parseSubject,
  subjectOf,
  SUSPENDABLE_ONLY_KINDS,
  WIRE_KINDS,
} from '../src/semantics';

describe('subjects of a revocation', () => {
  it('survive being written down, whatever the id holds', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...WIRE_KINDS),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }),
        (kind, id) => {
          expect(parseSubject(subjectOf(kind, id))).toEqual({ kind, id });
        },
      ),
      { numRuns: 500 },
    );
  });

  it('split at the first colon', () => {
    expect(parseSubject('label:team:red:blue')).toEqual({ kind: 'label', id: 'team:red:blue' });
    expect(parseSubject('tool:github/create_issue')).toEqual({
      kind: 'tool',
      id: 'github/create_issue',
    });
  });

  it.each([
    '',
    ':',
    'agent',
    'agent:',
    ':agt_1',
    'agents:a',
    'Agent:a',
    ' agent:a',
    '__proto__:a',
    'constructor:a',
    `agent:${'a'.repeat(MAX_SUBJECT_LENGTH)}`,
  ])('are not read from %j', (text) => {
    expect(parseSubject(text)).toBeNull();
  });

  it('are either issued, and can be killed, or not, and can only be suspended', () => {
    const killable = new Set<string>(KILLABLE_KINDS);
    for (const kind of SUSPENDABLE_ONLY_KINDS) expect(killable.has(kind)).toBe(false);
    expect(new Set(WIRE_KINDS).size).toBe(WIRE_KINDS.length);
  });
});
