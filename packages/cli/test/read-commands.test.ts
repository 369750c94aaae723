import { newId } from '@sever/protocol';
import {
  agentBody,
  AT,
  childOf,
  containmentBody,
  enforcementPointBody,
  killBody,
  pageOf,
  pendingKill,
  receiptBody,
} from './support/fixtures';
import { runCli } from './support/run-cli';
import { refusal, ScriptedControlPlane } from './support/scripted-control-plane';

let plane: ScriptedControlPlane;

beforeEach(async () => {
  plane = await ScriptedControlPlane.start();
});
afterEach(() => plane.close());

const recently = () => new Date(Date.now() - 60_000).toISOString();

describe('find', () => {
  const agent = agentBody();

  it('lists what it found with states and says how to cut the living one', async () => {
    const dead = agentBody({ name: 'old planner', state: 'killed' });
    plane.on('GET /v1/agents', () => ({ status: 200, body: pageOf(dead, agent) }));
    const { code, out } = await runCli(plane.url, ['find', 'planner']);
    expect(code).toBe(0);
    expect(out).toContain('2 agents: 1 killed, 1 active');
    expect(out).toMatch(
      new RegExp(`│ ${agent.id} │ planner +│ active │ alice@example.com │ \\(itself\\) │`),
    );
    expect(out).toContain(`sever kill ${agent.id} --reason`);
  });

  it.each([
    ['alice@example.com', ['initiator=alice@example.com', 'q=alice@example.com']],
    ['team:red', ['label=team:red', 'ref=team:red', 'q=team:red']],
    ['slow planner', ['q=slow planner']],
  ])('reads %s in every sense it can have, and shows an agent once', async (text, queries) => {
    plane.on('GET /v1/agents', () => ({ status: 200, body: pageOf(agent) }));
    const { out } = await runCli(plane.url, ['find', '--json', text]);
    expect(JSON.parse(out)).toEqual({ items: [agent], more: false });
    const asked = plane.requests.map(({ query }) =>
      [...query]
        .filter(([name]) => name !== 'limit')
        .map((pair) => pair.join('='))
        .join(),
    );
    expect(asked.sort()).toEqual([...queries].sort());
  });

  it('reads one agent by its id', async () => {
    plane.serve(`GET /v1/agents/${agent.id}`, agent);
    const { out } = await runCli(plane.url, ['find', agent.id]);
    expect(out).toContain('1 agent: 1 active');
  });

  it('says that nothing matches, and where a kill or credential id belongs', async () => {
    plane.on('GET /v1/agents', () => ({ status: 200, body: pageOf() }));
    expect((await runCli(plane.url, ['find', 'nobody'])).out).toContain('No agent matches nobody.');
    const kill = newId('kill');
    expect((await runCli(plane.url, ['find', kill])).out).toContain(`sever kills ${kill}`);
    const credential = newId('credential');
    expect((await runCli(plane.url, ['find', credential])).out).toContain(
      `sever kill ${credential}`,
    );
  });
});

describe('tree', () => {
  it('draws all pages of the tree, indented, with states', async () => {
    const root = agentBody();
    const left = childOf(root, {
      name: 'left',
      state: 'killed',
      because: {
        kill_id: newId('kill'),
        action: 'kill',
        subject: { kind: 'agent', id: root.id },
      },
    });
    const leaf = childOf(left, { name: 'leaf', state: 'completed' });
    const right = childOf(root, { name: 'right' });
    plane.on(`GET /v1/agents/${root.id}/tree`, ({ query }) => ({
      status: 200,
      body:
        query.get('cursor') === 'next'
          ? pageOf(right)
          : { items: [root, left, leaf], next_cursor: 'next' },
    }));
    const { code, out } = await runCli(plane.url, ['tree', root.id]);
    expect(code).toBe(0);
    expect(out).toBe(
      [
        `planner  ${root.id}  active`,
        `├─ left  ${left.id}  killed (${left.because?.kill_id ?? ''})`,
        `│  └─ leaf  ${leaf.id}  completed`,
        `└─ right  ${right.id}  active`,
        '',
        '4 agents: 2 active, 1 killed, 1 completed',
        '',
      ].join('\n'),
    );
    const json = await runCli(plane.url, ['tree', root.id, '--json']);
    expect(JSON.parse(json.out)).toEqual({ items: [root, left, leaf, right], next_cursor: null });
  });

  it('begins with the agent that was asked for when it is not a root', async () => {
    const root = agentBody();
    const child = childOf(root);
    plane.serve(`GET /v1/agents/${child.id}/tree`, pageOf(child, childOf(child, { name: 'leaf' })));
    const { out } = await runCli(plane.url, ['tree', child.id]);
    expect(out.split('\n').slice(0, 2)).toEqual([
      `reader  ${child.id}  active`,
      expect.stringMatching(/^└─ leaf {2}agt_/),
    ]);
  });
});

describe('kills', () => {
  it('lists kills, and shows one with its receipts and the exit code of its state', async () => {
    const kill = pendingKill();
    plane.serve('GET /v1/kills', pageOf(kill, killBody()));
    plane.serve(`GET /v1/kills/${kill.id}`, kill);
    const receipt = receiptBody();
    plane.serve(`GET /v1/kills/${kill.id}/receipts`, pageOf(receipt));
    const list = await runCli(plane.url, ['kills']);
    expect(list.code).toBe(0);
    expect(list.out).toContain(kill.id);
    expect(list.out).toContain('contained');
    const one = await runCli(plane.url, ['kills', kill.id]);
    expect(one.code).toBe(3);
    expect(one.out.split('\n')[0]).toBe(kill.summary);
    expect(one.out).toMatch(/│ ep-1 +│ strict │ enforced │ in 12 ms, 1 in-flight cut │/);
    const json = await runCli(plane.url, ['kills', kill.id, '--json']);
    expect(JSON.parse(json.out)).toEqual({ ...kill, receipts: [receipt] });
  });

  it('says when there are none', async () => {
    plane.serve('GET /v1/kills', pageOf());
    expect((await runCli(plane.url, ['kills'])).out).toBe('No kills.\n');
  });
});

describe('status', () => {
  beforeEach(() => {
    plane.serve('GET /healthz', { status: 'ok' });
    plane.serve('GET /readyz', { status: 'ok' });
    plane.serve('GET /v1/enforcement-points', pageOf(enforcementPointBody()));
    plane.serve('GET /v1/epochs', pageOf());
    plane.serve('GET /v1/kills', pageOf(killBody({ created_at: recently() })));
  });

  it('is 0 when it is ready and every recent kill is contained', async () => {
    const { code, out } = await runCli(plane.url, ['status']);
    expect(code).toBe(0);
    expect(out).toContain(`Control plane ${plane.url}: alive, ready`);
    expect(out).toContain('1 enforcement point, 1 live, 0 silent');
    expect(out).toMatch(/│ ep-1 +│ strict │ live +│ 1.7 +│ 2026-05-01 03:12:05Z │/);
    expect(out).toContain('Every recent kill is contained.');
  });

  it('takes the gravest code of the recent kills that are not contained', async () => {
    const open = pendingKill({ created_at: recently() });
    plane.serve('GET /v1/kills', pageOf(open, killBody({ created_at: recently() })));
    const pending = await runCli(plane.url, ['status', '--json']);
    expect(pending.code).toBe(3);
    expect(JSON.parse(pending.out)).toMatchObject({
      health: { ok: true },
      not_contained: [open],
      exit_code: 3,
    });
    const stuck = pendingKill({
      created_at: recently(),
      containment: containmentBody({ unknown: [{ id: newId('enforcementPoint'), name: 'ep-7' }] }),
    });
    plane.serve('GET /v1/kills', pageOf(open, stuck));
    const worse = await runCli(plane.url, ['status']);
    expect(worse.code).toBe(4);
    expect(worse.out).toContain('2 recent kills not contained, 1 stuck (waiting changes nothing):');
  });

  it('leaves out kills from before the time asked for', async () => {
    plane.serve('GET /v1/kills', pageOf(pendingKill({ created_at: AT })));
    expect((await runCli(plane.url, ['status', '--since', '1h'])).code).toBe(0);
    plane.serve('GET /v1/kills', pageOf(pendingKill({ created_at: recently() })));
    expect((await runCli(plane.url, ['status', '--since', '1h'])).code).toBe(3);
  });

  it('is 1 when the control plane is not ready, and says so', async () => {
    plane.on('GET /readyz', () => refusal('unavailable', 'The database does not answer.'));
    const { code, out } = await runCli(plane.url, ['status']);
    expect(code).toBe(1);
    expect(out).toContain('alive, not ready (unavailable: The database does not answer.)');
  });

  it('shows silent boots and enforcement points that do not run', async () => {
    const [boot] = enforcementPointBody().boots;
    plane.serve(
      'GET /v1/enforcement-points',
      pageOf(
        enforcementPointBody({ name: 'quiet', boots: boot ? [{ ...boot, state: 'silent' }] : [] }),
        enforcementPointBody({ name: 'gone', boots: [] }),
      ),
    );
    const { out } = await runCli(plane.url, ['status']);
    expect(out).toContain('2 enforcement points, 0 live, 1 silent');
    expect(out).toMatch(/│ quiet +│ strict │ silent/);
    expect(out).toMatch(/│ gone +│ strict │ not running/);
  });
});

describe('status of what is not as it should be', () => {
  beforeEach(() => {
    plane.serve('GET /healthz', { status: 'ok' });
    plane.serve('GET /readyz', { status: 'ok' });
    plane.serve('GET /v1/kills', pageOf());
    plane.serve('GET /v1/epochs', pageOf());
    plane.serve('GET /v1/enforcement-points', pageOf(enforcementPointBody()));
  });

  it('names the orders that somebody could not apply, and calls let through while stale; a healthy one says nothing', async () => {
    const [boot] = enforcementPointBody().boots;
    const nacks = [{ seq: 9, error: 'unknown op' }];
    const boots = boot ? [{ ...boot, nacks, stale_admissions: 3 }] : [];
    plane.serve(
      'GET /v1/enforcement-points',
      pageOf(enforcementPointBody({ name: 'odd', boots }), enforcementPointBody({ name: 'well' })),
    );
    const { out } = await runCli(plane.url, ['status']);
    expect(out).toMatch(/│ odd .*│ entry 9: unknown op; 3 let through while stale/);
    expect(out).toMatch(/│ well .*│ +│$/m);
    expect(out).toContain('1 order could not be applied somewhere');
    expect(out).toContain('3 calls let through without a valid lease');
  });

  it('shows each time the database had gone back, and what of it is lost', async () => {
    const epoch = {
      ...{
        epoch: 2,
        opened_at: AT,
        because: 'timeline',
        former_head: '1.40',
        highest_seen: '1.44',
      },
      ...{ restored: [newId('kill')], lost: [{ from: '1.42', to: '1.44' }], settled: false },
    };
    plane.serve('GET /v1/epochs', pageOf(epoch));
    const { out } = await runCli(plane.url, ['status']);
    expect(out).toContain(
      'Epoch 2 since 2026-05-01 03:12:05Z: the database had gone back (timeline',
    );
    expect(out).toContain('1 order restored; LOST, shown by nobody so far: 1.42–1.44');
    plane.serve('GET /v1/epochs', pageOf());
    expect((await runCli(plane.url, ['status'])).out).not.toContain('Epoch');
    expect(JSON.parse((await runCli(plane.url, ['status', '--json'])).out)).toMatchObject({
      stuck: [],
      epochs: [],
    });
  });
});

describe('answers that break the contract', () => {
  it('are refused by name, never printed as if they were true', async () => {
    plane.serve('GET /v1/kills', {
      items: [{ id: 'kil_x', state: 'contained' }],
      next_cursor: null,
    });
    const { code, out, err } = await runCli(plane.url, ['kills']);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain('with a body this version cannot read');
  });

  it('are told from a refusal of Sever when a proxy answers', async () => {
    plane.on('GET /v1/kills', () => ({ status: 302, body: {} }));
    const { code, err } = await runCli(plane.url, ['kills']);
    expect(code).toBe(1);
    expect(err).toContain('refused: http_302 (302)');
  });
});
