import fc from 'fast-check';
import { problem, PROBLEM_STATUS, ProblemBody, ProblemError, type ProblemCode } from '../src';

const CODES = Object.keys(PROBLEM_STATUS) as ProblemCode[];

describe('problems', () => {
  it.each(CODES)('%s has a type, a title, a status of its own and reads back', (code) => {
    const one = problem(code, 'Do this next.');
    expect(one).toEqual({
      type: `urn:sever:problem:${code}`,
      title: code.replaceAll('_', ' '),
      status: PROBLEM_STATUS[code],
      code,
      detail: 'Do this next.',
    });
    expect(one.status).toBeGreaterThanOrEqual(400);
    expect(one.status).toBeLessThan(600);
    expect(ProblemBody.parse(JSON.parse(JSON.stringify(one)))).toEqual(one);
  });

  it('a revoked agent gets 403 and never 401, which would invite it to log in again', () => {
    for (const code of ['agent_revoked', 'agent_suspended', 'tool_suspended'] as const)
      expect(PROBLEM_STATUS[code]).toBe(403);
    expect(PROBLEM_STATUS.invalid_token).toBe(401);
    expect(PROBLEM_STATUS.enforcement_stale).toBe(503);
  });

  it('carry which order it was and whether waiting helps', () => {
    const error = new ProblemError('agent_revoked', 'Revoked.', {
      kill_id: 'kil_1',
      terminal: true,
    });
    expect(error).toBeInstanceOf(Error);
    expect(error.status).toBe(403);
    expect(error.toProblem()).toMatchObject({
      kill_id: 'kil_1',
      terminal: true,
      code: 'agent_revoked',
    });
  });

  it('keep the cause for the operator and away from the client', () => {
    const cause = new Error('password=hunter2');
    const error = new ProblemError('internal', 'Try again.', {}, { cause });
    expect(error.cause).toBe(cause);
    expect(JSON.stringify(error.toProblem())).not.toContain('hunter2');
  });

  it('take no code, status or type from their extras', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CODES), fc.string(), (code, text) => {
        const one = problem(code, 'Detail.', { status: 200, code: text, type: text, title: text });
        expect(one).toMatchObject(problem(code, 'Detail.'));
      }),
    );
  });
});
