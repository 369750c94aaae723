import type { EnforcementPoint } from '@sever/enforcement';
import {
  newId,
  type Kill,
  type KillPlan,
  type SpawnReply,
  type SpawnRequest,
} from '@sever/protocol';
import { sever, wordsOf } from '../../support/cli';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { eventually } from '../../support/eventually';

describe('orders from the command line', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let lead: { url: string; key: string };
  let serial = 0;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'edge', { mode: 'strict' });
    const { key } = await plane.client.createApiKey({ role: 'lead', name: 'second lead' });
    lead = { url: plane.url, key };
  });
  afterAll(async () => {
    await point.close();
    await plane.close();
  });

  const root = (request: Partial<SpawnRequest> = {}) =>
    plane.client.spawn({
      name: 'an agent',
      initiator: { subject: 'alice@example.com' },
      ...request,
    });
  const said = async ({ credential }: SpawnReply): Promise<string> => {
    const decision = await point.check(credential.token);
    return decision.decision === 'allow' ? 'allow' : decision.code;
  };
  const unique = (word: string) => `${word}${(serial += 1)}`;
  const killOf = (out: string) => JSON.parse(out) as Kill;

  it('kills by agent: exit 0, the summary first, and the twin goes on', async () => {
    const [victim, twin] = [await root(), await root()];
    const { code, out } = await sever(plane, [
      'kill',
      victim.agent.id,
      '--reason',
      'x',
      '--wait',
      '10s',
    ]);
    expect(code).toBe(0);
    expect(out.split('\n')[0]).toBe('Stopped at all 1 enforcement point.');
    expect([await said(victim), await said(twin)]).toEqual(['agent_revoked', 'allow']);
  });

  const byOption: readonly [
    string,
    (name: string) => Partial<SpawnRequest>,
    (victim: SpawnReply) => string[],
  ][] = [
    ['--task', (name) => ({ task: { name } }), ({ agent }) => ['--task', agent.task_id as string]],
    [
      '--label',
      (name) => ({ labels: { team: name } }),
      ({ agent }) => ['--label', `team:${agent.labels.team}`],
    ],
    [
      '--ref',
      (name) => ({ refs: { pod: name } }),
      ({ agent }) => ['--ref', `pod:${agent.refs.pod}`],
    ],
    [
      '--initiator',
      (name) => ({ initiator: { subject: `${name}@example.net` } }),
      ({ agent }) => ['--initiator', agent.initiator.subject],
    ],
    [
      '--initiator with --issuer',
      (name) => ({ initiator: { subject: name, issuer: 'https://idp.example' } }),
      ({ agent }) => ['--initiator', agent.initiator.subject, '--issuer', 'https://idp.example'],
    ],
  ];
  it.each(byOption)('kills by %s, and spares the twin', async (_, request, words) => {
    const victim = await root(request(unique('victim')));
    const twin = await root(request(unique('twin')));
    const { code } = await sever(plane, [
      'kill',
      ...words(victim),
      '--reason',
      'x',
      '--wait',
      '10s',
    ]);
    expect(code).toBe(0);
    expect([await said(victim), await said(twin)]).toEqual(['agent_revoked', 'allow']);
  });

  it('kills by a token from standard input, which appears nowhere', async () => {
    const [victim, twin] = [await root(), await root()];
    const { token } = victim.credential;
    const result = await sever(
      plane,
      ['kill', '--token', '-', '--reason', 'leaked', '--wait', '10s'],
      `${token}\n`,
    );
    expect(result.code).toBe(0);
    expect(result.out).toContain(`token stood for credential ${victim.credential.id}`);
    expect(result.out + result.err).not.toContain(token);
    expect([await said(victim), await said(twin)]).toEqual(['agent_revoked', 'allow']);
  });

  it('shows what a kill would do, kills nothing, and prints the line that does exactly that', async () => {
    const victim = await root();
    const asVictim = plane.client.as(victim.credential.token);
    await asVictim.spawn({ name: 'a child' });
    const dead = await asVictim.spawn({ name: 'a dead child' });
    await plane.client.killAgent(dead.agent.id, { reason: 'before' });
    const dry = await sever(plane, ['kill', victim.agent.id, '--reason', "it's late", '--dry-run']);
    expect(dry.code).toBe(0);
    expect(dry.out.split('\n')[0]).toMatch(
      /^Nothing was killed\. This would kill 2 living agents, 2 credentials/,
    );
    expect(dry.out).toContain('a child');
    expect(dry.out).not.toMatch(/a dead child|lives on/);
    expect(await said(victim)).toBe('allow');
    const [program, ...words] = wordsOf(dry.out.trim().split('\n').at(-1) as string);
    expect(program).toBe('sever');
    expect(words).toEqual(expect.arrayContaining(['--if-plan', "it's late"]));
    expect((await sever(plane, [...words, '--wait', '10s'])).code).toBe(0);
    expect(await said(victim)).toBe('agent_revoked');
  });

  it('refuses a plan that has changed, and one that is too wide, exit 1, and stops nobody', async () => {
    const victim = await root();
    const dry = await sever(plane, [
      '--json',
      'kill',
      victim.agent.id,
      '--reason',
      'x',
      '--dry-run',
    ]);
    const { plan_hash: hash } = JSON.parse(dry.out) as KillPlan;
    await plane.client.as(victim.credential.token).spawn({ name: 'born since' });
    const changed = await sever(plane, [
      'kill',
      victim.agent.id,
      '--reason',
      'x',
      '--if-plan',
      hash,
    ]);
    expect([changed.code, changed.err]).toEqual([
      1,
      expect.stringContaining('look again with --dry-run'),
    ]);
    const wide = await sever(plane, [
      'kill',
      victim.agent.id,
      '--reason',
      'x',
      '--max-agents',
      '1',
    ]);
    expect([wide.code, wide.err]).toEqual([1, expect.stringContaining('raise --max-agents')]);
    expect(await said(victim)).toBe('allow');
  });

  it('says that a name matched nothing, and which names are close', async () => {
    await root({ initiator: { subject: 'grace@example.com' } });
    const { out, err } = await sever(plane, ['kill', 'grcae@example.com', '--reason', 'x']);
    for (const text of [out, err])
      expect(text).toMatch(/It matched nothing: .* Did you mean: grace@example\.com/);
    const unknown = newId('agent');
    const none = await sever(plane, ['kill', unknown, '--reason', 'x']);
    expect([none.code, none.err]).toEqual([
      1,
      expect.stringContaining(`not found: agent ${unknown}`),
    ]);
  });

  it('suspends, shows it, and lifts it again', async () => {
    const [victim, twin] = [await root(), await root()];
    const { id } = victim.agent;
    const held = await sever(plane, [
      ...['suspend', id, '--reason', 'looking', '--expires', '1h', '--wait', '10s'],
    ]);
    expect(held.code).toBe(0);
    expect(held.out).toMatch(/^Suspended at all 1 enforcement point\.\n/);
    expect(held.out).toMatch(/level deny_all; lifts itself at \d{4}-/);
    expect([await said(victim), await said(twin)]).toEqual(['agent_suspended', 'allow']);
    const killId = /kil_[a-z0-9]+/.exec(held.out)?.[0] as string;
    expect(held.out).toContain(`next: undo it: sever lift ${killId}`);
    const list = await sever(plane, ['kills', '--subject', `agent:${id}`]);
    expect(list.out).toMatch(/│ suspend /);
    const lifted = await sever(plane, ['lift', killId, '--reason', 'it is fine']);
    expect([lifted.code, lifted.out.split('\n')[0]]).toEqual([
      0,
      expect.stringMatching(/^Lifted at /),
    ]);
    expect(lifted.out).toMatch(/lifted by .* at .*: it is fine/);
    await eventually(async () => expect(await said(victim)).toBe('allow'));
    expect((await sever(plane, ['lift', killId, '--reason', 'again'])).code).toBe(0);
  });

  it('suspends spawning alone with --level, and a tool for everybody with --tool', async () => {
    const victim = await root({ scopes: ['tool:github/*'] });
    const level = ['--level', 'deny_spawn', '--wait', '10s', '--json'];
    const spawnless = await sever(plane, ['suspend', victim.agent.id, '--reason', 'x', ...level]);
    expect(killOf(spawnless.out)).toMatchObject({ action: 'suspend', level: 'deny_spawn' });
    expect(await said(victim)).toBe('allow');
    await expect(
      plane.client.as(victim.credential.token).spawn({ name: 'x' }),
    ).rejects.toMatchObject({
      code: 'ancestor_suspended',
    });
    const tool = `github/${unique('tool')}`;
    const held = await sever(plane, ['suspend', '--tool', tool, '--reason', 'x', '--wait', '10s']);
    expect(held.code).toBe(0);
    const check = (name: string) => point.check(victim.credential.token, { tool: name });
    expect(await check(tool)).toMatchObject({ code: 'tool_suspended' });
    expect(await check('github/other')).toMatchObject({ decision: 'allow' });
  });

  it('makes a kill of a suspension with escalate, which may be repeated; lift then is refused', async () => {
    const [victim, twin] = [await root(), await root()];
    const held = await sever(plane, ['suspend', victim.agent.id, '--reason', 'x', '--json']);
    const { id } = killOf(held.out);
    const escalate = ['escalate', id, '--reason', 'it is worse', '--wait', '10s'];
    const worse = await sever(plane, escalate);
    expect(worse.code).toBe(0);
    expect(worse.out).toMatch(/escalated to a kill by .*: it is worse/);
    expect([await said(victim), await said(twin)]).toEqual(['agent_revoked', 'allow']);
    expect((await sever(plane, escalate)).code).toBe(0);
    const lift = await sever(plane, ['lift', id, '--reason', 'x']);
    expect([lift.code, lift.err]).toEqual([1, expect.stringContaining('sever reinstate')]);
  });

  it('reinstates: shows what stands when no kill is named, and needs another lead', async () => {
    const victim = await root();
    const { id } = victim.agent;
    const { id: killId } = killOf(
      (await sever(plane, ['kill', id, '--reason', 'x', '--json'])).out,
    );
    const asked = await sever(lead, ['reinstate', id, '--reason', 'a mistake']);
    expect(asked.code).toBe(2);
    expect(asked.out).toContain(killId);
    expect((await plane.client.getAgent(id)).state).toBe('killed');
    const [, ...words] = wordsOf(asked.out.trim().split('\n').at(-1) as string);
    const own = await sever(plane, words);
    expect([own.code, own.err]).toEqual([1, expect.stringContaining('second_person_required')]);
    const done = await sever(lead, words);
    expect([done.code, done.out.split('\n')[0]]).toEqual([
      0,
      `Reinstated agent ${id}: what is issued to it from now on works.`,
    ]);
    expect((await plane.client.mint(id)).credential.id).toMatch(/^crd_/);
    expect(await said(victim)).toBe('agent_revoked');
    const record = await sever(plane, ['kills', killId]);
    expect(record.out).toMatch(/reinstated by second lead at .*: a mistake/);
    expect((await sever(lead, words)).err).toContain('not_killed');
  });

  it('reinstates a human by address', async () => {
    const name = `${unique('human')}@example.com`;
    const victim = await root({ initiator: { subject: name } });
    const { id } = killOf((await sever(plane, ['kill', name, '--reason', 'x', '--json'])).out);
    await expect(root({ initiator: { subject: name } })).rejects.toMatchObject({ status: 409 });
    expect((await sever(lead, ['reinstate', name, '--kill', id, '--reason', 'ok'])).code).toBe(0);
    const fresh = await root({ initiator: { subject: name } });
    await eventually(async () => expect(await said(fresh)).toBe('allow'));
    expect(await said(victim)).toBe('agent_revoked');
  });

  it('says who came back after a kill, and holds them back where --hold says so', async () => {
    const name = `${unique('loop')}@example.com`;
    const started = () => root({ initiator: { subject: name } });
    const first = await started();
    const { id } = killOf(
      (await sever(plane, ['kill', first.agent.id, '--reason', 'x', '--json'])).out,
    );
    const back = await started();
    const record = await sever(plane, ['kills', id]);
    expect(record.out).toContain(
      `came back: 1 root of the same service for the same human since: ${back.agent.id}`,
    );
    expect(record.out).toContain(
      `next: stop what came back, and hold new ones: sever kill ${back.agent.id} --hold`,
    );
    const held = await sever(plane, ['kill', back.agent.id, '--reason', 'x', '--hold', '15m']);
    expect(held.out).toContain('new roots are held back until');
    await expect(started()).rejects.toMatchObject({ status: 409 });
    expect((await root()).agent.state).toBe('active');
  });
});
