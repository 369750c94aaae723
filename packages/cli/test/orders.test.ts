import { execFileSync } from 'node:child_process';
import { newId, type KillPlan } from '@sever/protocol';
import { containmentBody, killBody, pageOf, pendingKill } from './support/fixtures';
import { runCli } from './support/run-cli';
import { refusal, ScriptedControlPlane } from './support/scripted-control-plane';
import { shellWords } from '../src/output/shell-words';

let plane: ScriptedControlPlane;
const target = newId('agent');

beforeEach(async () => {
  plane = await ScriptedControlPlane.start();
});
afterEach(() => plane.close());

const bodies = () => plane.requests.map(({ body }) => body);

function planBody(over: Partial<KillPlan> = {}): KillPlan {
  return {
    subjects: [{ kind: 'agent', id: target }],
    not_found: [],
    counts: { agents: 0, credentials: 0, grants: 0 },
    agents: [],
    keep_another_lineage: [],
    plan_hash: 'plan-1',
    ...over,
  };
}

describe('what an order says', () => {
  it('carries every option of a kill', async () => {
    plane.on('POST /v1/kills', () => ({ status: 200, body: killBody() }));
    const task = newId('task');
    const { code } = await runCli(plane.url, [
      ...['kill', target, '--task', task, '--label', 'team:red', '--label', 'env:dev'],
      ...['--reason', 'x', '--hold', '15m', '--drain', '--only', '--max-agents', '7'],
      ...['--if-plan', 'abc', '--ticket', 'INC-1'],
    ]);
    expect(code).toBe(0);
    expect(bodies()[0]).toEqual({
      subjects: [
        { kind: 'agent', id: target },
        { kind: 'task', id: task },
        { kind: 'label', id: 'team:red' },
        { kind: 'label', id: 'env:dev' },
      ],
      reason: 'x',
      ticket: 'INC-1',
      hold: '15m',
      only: true,
      in_flight: 'drain',
      max_agents: 7,
      if_plan_hash: 'abc',
    });
  });

  it('carries every option of a suspension', async () => {
    const kill = killBody({ action: 'suspend', level: 'deny_spawn' });
    plane.on('POST /v1/kills', () => ({ status: 200, body: kill }));
    const { code } = await runCli(plane.url, [
      ...['suspend', '--tool', 'github/push', '--upstream', 'github', '--reason', 'x'],
      ...['--level', 'deny_spawn', '--expires', '1h'],
    ]);
    expect(code).toBe(0);
    expect(bodies()[0]).toEqual({
      subjects: [
        { kind: 'tool', id: 'github/push' },
        { kind: 'upstream', id: 'github' },
      ],
      action: 'suspend',
      reason: 'x',
      level: 'deny_spawn',
      expires_in: '1h',
    });
  });

  it.each([
    ['a token on the command line', ['kill', '--token', 'eyJhbGciOi', '--reason', 'x']],
    ['no token on standard input', ['kill', '--token', '-', '--reason', 'x']],
    ['an issuer of nobody', ['kill', target, '--issuer', 'https://idp.example', '--reason', 'x']],
    ['a task that is no id', ['kill', '--task', 'billing', '--reason', 'x']],
    ['a label without a value', ['kill', '--label', 'team', '--reason', 'x']],
    ['a tool to kill', ['kill', '--tool', 'github/push', '--reason', 'x']],
    ['an unknown level', ['suspend', target, '--level', 'all', '--reason', 'x']],
    ['a hold of a suspension', ['suspend', target, '--hold', '1h', '--reason', 'x']],
    ['a lift of no kill', ['lift', target, '--reason', 'x']],
    ['a lift without a reason', ['lift', newId('kill')]],
    ['an escalation with an empty reason', ['escalate', newId('kill'), '--reason', ' ']],
    ['a reinstatement by half an id', ['reinstate', target, '--kill', 'kil_1', '--reason', 'x']],
    ['a drill via no URL', ['drill', '--via', 'sidecar']],
    ['a drill with a bound of nothing', ['drill', '--bound', '0']],
  ])('is exit 2 for %s, and nothing is sent', async (_, argv) => {
    const { code, out, err } = await runCli(plane.url, argv);
    expect(code).toBe(2);
    expect(out + err).not.toContain('eyJhbGciOi');
    expect(plane.requests).toEqual([]);
  });
});

describe('exit codes of a suspension', () => {
  const held = { action: 'suspend' as const, level: 'deny_all' };
  it.each([
    ['0 when it is contained', killBody(held), 0],
    ['3 while enforcement points have yet to answer', pendingKill(held), 3],
    [
      '4 when one could not apply it',
      pendingKill({
        ...held,
        containment: containmentBody({
          nack: [{ id: newId('enforcementPoint'), name: 'ep-7', error: 'unknown op' }],
        }),
      }),
      4,
    ],
    ['5 when the emergency road took it', pendingKill({ ...held, state: 'emergency' }), 5],
  ])('are %s', async (_, body, code) => {
    plane.on('POST /v1/kills', () => ({ status: body.state === 'contained' ? 200 : 202, body }));
    const result = await runCli(plane.url, ['suspend', target, '--reason', 'x', '--wait', '0']);
    expect(result.code).toBe(code);
    expect(result.err).not.toMatch(/the kill/);
  });
});

describe('lift, escalate and reinstate on a bad connection', () => {
  const kill = killBody({ action: 'suspend' });

  it.each(['lift', 'escalate'])('%s is repeated until it is answered', async (command) => {
    let attempts = 0;
    plane.on(`POST /v1/kills/${kill.id}/${command}`, () => {
      attempts += 1;
      return attempts < 3 ? 'break' : { status: 200, body: kill };
    });
    expect((await runCli(plane.url, [command, kill.id, '--reason', 'x'])).code).toBe(0);
    expect(attempts).toBe(3);
  });

  it('lift does not claim anything when no attempt was answered', async () => {
    plane.on(`POST /v1/kills/${kill.id}/lift`, () => 'break');
    const { code, out, err } = await runCli(plane.url, ['lift', kill.id, '--reason', 'x']);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain(`It is not known whether it was done`);
    expect(err).toContain(`sever lift ${kill.id}`);
  });

  const reinstateAfterLoss = async (reason: string) => {
    let attempts = 0;
    const dead = killBody({
      reinstated: { at: kill.created_at, by: { id: 'key_1', name: 'lead', kind: 'lead' }, reason },
    });
    plane.on(`POST /v1/subjects/agent/${target}/reinstate`, () => {
      attempts += 1;
      return attempts === 1 ? 'break' : refusal('not_killed', 'Nothing keeps it dead.');
    });
    plane.serve(`GET /v1/kills/${dead.id}`, dead);
    return runCli(plane.url, ['reinstate', target, '--kill', dead.id, '--reason', 'mistaken']);
  };

  it('reinstate takes “not killed” for its own doing only where the record says so', async () => {
    const own = await reinstateAfterLoss('mistaken');
    expect([own.code, own.out.split('\n')[0]]).toEqual([
      0,
      `Reinstated agent ${target}: what is issued to it from now on works.`,
    ]);
    const another = await reinstateAfterLoss('somebody else’s words');
    expect([another.code, another.err]).toEqual([1, expect.stringContaining('not_killed')]);
  });
});

describe('the line that carries out a plan', () => {
  it.each([
    [['--reason', "it's"]],
    [['--reason', 'a b', '--label', 'x:$HOME`id`"\\']],
    [['--reason', "\u001b[2J\n\u202e\u009bend'\\"]],
    [['']],
  ])('is read by a shell as the words that it stands for (%j)', (words) => {
    const line = shellWords(words);
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    const script = `for word in ${line}; do printf '%s\\0' "$word"; done`;
    const env = { PATH: process.env.PATH, LC_ALL: 'C.UTF-8' };
    const read = execFileSync('bash', ['-c', script], { encoding: 'utf8', env });
    expect(read.split('\0').slice(0, -1)).toEqual(words);
  });

  it('names the place, never the key', async () => {
    plane.serve('POST /v1/kills/preview', planBody());
    const { out } = await runCli('http://127.0.0.1:1', [
      ...['--url', plane.url, 'kill', target, '--reason', 'x y', '--max-agents', '3', '--dry-run'],
    ]);
    expect(out.trim().split('\n').at(-1)?.trim()).toBe(
      `sever --url ${plane.url} kill ${target} --reason 'x y' --max-agents 3 --if-plan plan-1`,
    );
  });

  it('says when the bound would refuse it, and who lives on', async () => {
    const other = newId('agent');
    plane.serve(
      'POST /v1/kills/preview',
      planBody({
        counts: { agents: 40, credentials: 1, grants: 2 },
        keep_another_lineage: [{ id: other, name: 'borrower' }],
      }),
    );
    const argv = ['kill', target, '--reason', 'x', '--max-agents', '3', '--dry-run'];
    const { code, out } = await runCli(plane.url, argv);
    expect(code).toBe(0);
    expect(out).toContain('This would kill 40 living agents, 1 credential and 2 grants.');
    expect(out).toContain('and 40 more');
    expect(out).toContain(`lives on: ${other} borrower`);
    expect(out).toContain('that is more than --max-agents 3');
  });
});

it('status leaves out what was undone: nobody has to run after it', async () => {
  const by = { id: 'key_1', name: 'lead', kind: 'lead' };
  const lifted = { at: new Date().toISOString(), by, reason: 'ok' };
  const recent = { created_at: new Date().toISOString() };
  const open = pendingKill(recent);
  const undone = pendingKill({ ...recent, action: 'suspend', lifted });
  plane.serve('GET /healthz', {}).serve('GET /readyz', {});
  plane.serve('GET /v1/epochs', pageOf());
  plane.serve('GET /v1/enforcement-points', pageOf());
  plane.serve('GET /v1/kills', pageOf(open, undone));
  const { out } = await runCli(plane.url, ['status']);
  expect(out).toContain(open.id);
  expect(out).not.toContain(undone.id);
});
