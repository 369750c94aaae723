import { newId } from '@sever/protocol';
import { containmentBody, killBody, pageOf, pendingKill, receiptBody } from './support/fixtures';
import { eventually } from './support/eventually';
import { CliRun, runCli } from './support/run-cli';
import { KEY, refusal, ScriptedControlPlane } from './support/scripted-control-plane';

let plane: ScriptedControlPlane;
const target = newId('agent');
const command = ['kill', target, '--reason', 'prompt injection'];

beforeEach(async () => {
  plane = await ScriptedControlPlane.start();
});
afterEach(() => plane.close());

const killRequests = () => plane.requests.filter((request) => request.path === '/v1/kills');

describe('exit codes of a kill', () => {
  it('is 0 when the kill is contained, with the summary as the first line', async () => {
    const kill = killBody();
    plane.on('POST /v1/kills', () => ({ status: 200, body: kill }));
    plane.serve(
      `GET /v1/kills/${kill.id}/receipts`,
      pageOf(
        receiptBody(),
        receiptBody({
          enforcement_point: { id: newId('enforcementPoint'), name: 'ep-2', mode: 'best_effort' },
          latency_ms: 4,
          in_flight: { aborted: 0, completed: 0, uncontrolled: 2 },
        }),
      ),
    );
    const { code, out } = await runCli(plane.url, command);
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'Stopped at 2 of 2 enforcement points in 12 ms.',
        '',
        `${kill.id}  contained  kill agent ${kill.subject.id}`,
        'by on-call at 2026-05-01 03:12:05Z: prompt injection',
        'cascade done: 3 agents, 4 credentials; slowest receipt in 12 ms',
        '┌───────────────────┬─────────────┬──────────┬───────────────────────────┐',
        '│ enforcement point │ mode        │ status   │                           │',
        '├───────────────────┼─────────────┼──────────┼───────────────────────────┤',
        '│ ep-1              │ strict      │ enforced │ in 12 ms, 1 in-flight cut │',
        '│ ep-2              │ best_effort │ enforced │ in 4 ms, 2 not controlled │',
        '└───────────────────┴─────────────┴──────────┴───────────────────────────┘',
        '',
      ].join('\n'),
    );
  });

  it('is 3 when enforcement points have yet to answer, and says that the kill stands', async () => {
    const kill = pendingKill({ warnings: ['slow_relay'], not_found: [{ kind: 'agent', id: 'x' }] });
    plane.on('POST /v1/kills', () => ({ status: 202, body: kill }));
    const { code, out, err } = await runCli(plane.url, [...command, '--wait', '0']);
    expect(code).toBe(3);
    expect(out.split('\n')[0]).toBe(kill.summary);
    expect(out).toMatch(
      /│ ep-7 +│ strict │ pending +│ no receipt yet; dark by 2099-01-01 00:00:00Z │/,
    );
    expect(out).toContain('warning: slow_relay');
    expect(out).toContain('not found: agent x');
    expect(err).toContain(
      `the kill stands; not every enforcement point has answered yet. Look again: sever kills ${kill.id}`,
    );
  });

  it('is 3 without any enforcement point, and never waits for one', async () => {
    const kill = killBody({
      state: 'committed',
      summary: 'Committed; no enforcement point is enrolled.',
      warnings: ['no_enforcement_points'],
      containment: containmentBody({ enforced: 0, latency_ms: null }),
    });
    plane.on('POST /v1/kills', () => ({ status: 202, body: kill }));
    const { code, out, err } = await runCli(plane.url, [...command, '--wait', '30s']);
    expect(code).toBe(3);
    expect(killRequests()).toHaveLength(1);
    expect(out).toContain('warning: no_enforcement_points (no enforcement point is enrolled');
    expect(err).toContain('no enforcement point stands behind this kill');
  });

  it.each([
    [
      'an enforcement point could not apply it',
      { nack: [{ id: newId('enforcementPoint'), name: 'ep-7', error: 'unknown op' }] },
    ],
    [
      'a best_effort one is silent past its bound',
      { unknown: [{ id: newId('enforcementPoint'), name: 'ep-7' }] },
    ],
    [
      'one is pending although its bound has passed',
      {
        pending: [
          {
            id: newId('enforcementPoint'),
            name: 'ep-7',
            mode: 'strict' as const,
            dark_by: '2026-05-01T03:12:17.000Z',
          },
        ],
      },
    ],
  ])('is 4 when %s, and names it', async (_, gap) => {
    const kill = pendingKill({ containment: containmentBody({ enforced: 1, ...gap }) });
    plane.on('POST /v1/kills', () => ({ status: 202, body: kill }));
    const { code, err } = await runCli(plane.url, [...command, '--wait', '0']);
    expect(code).toBe(4);
    expect(err).toContain('not contained: stop or restart ep-7');
  });

  it('judges bounds by the clock of the server, not by this machine’s', async () => {
    const kill = pendingKill({}, '2030-01-01T00:00:10.000Z');
    plane.on('POST /v1/kills', () => ({ status: 202, body: kill }));
    plane.date = '2030-01-01T00:00:05Z';
    expect((await runCli(plane.url, [...command, '--wait', '0'])).code).toBe(3);
    plane.date = '2030-01-01T00:00:15Z';
    expect((await runCli(plane.url, [...command, '--wait', '0'])).code).toBe(4);
  });

  it('is 5 when the emergency road took it', async () => {
    plane.on('POST /v1/kills', () => ({ status: 202, body: pendingKill({ state: 'emergency' }) }));
    const { code, err } = await runCli(plane.url, command);
    expect(code).toBe(5);
    expect(err).toContain('emergency road');
  });

  it('is 1 when the control plane refuses, with code, detail and the next step', async () => {
    plane.on('POST /v1/kills', () =>
      refusal('not_a_descendant', 'This agent is not under your roots.'),
    );
    const { code, out, err } = await runCli(plane.url, command);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain(
      'sever: refused: not_a_descendant (403)\nThis agent is not under your roots.\nnext: ',
    );
  });

  it('is 1 for a subject that this server cannot kill yet, in the server’s words', async () => {
    plane.on('POST /v1/kills', () =>
      refusal('bad_subject', 'The kind initiator cannot be killed in this version.'),
    );
    const { code, err } = await runCli(plane.url, ['kill', 'alice@example.com', '--reason', 'x']);
    expect(code).toBe(1);
    expect(killRequests()[0]?.body).toEqual({
      subject: { kind: 'initiator', id: 'alice@example.com' },
      reason: 'x',
    });
    expect(err).toContain('The kind initiator cannot be killed in this version.');
  });

  it.each([
    ['no reason', ['kill', target]],
    ['an empty reason', ['kill', target, '--reason', ' ']],
    ['no target', ['kill', '--reason', 'x']],
    ['a shortened id', ['kill', 'agt_01jx', '--reason', 'x']],
    ['a word that names nothing', ['kill', 'planner', '--reason', 'x']],
    ['a bad wait', [...command, '--wait', 'soon']],
    ['an unknown option', [...command, '--force']],
    ['an unknown command', ['slay', target]],
    ['a bad URL', [...command, '--url', 'ftp://x']],
  ])('is 2 for %s, and nothing is sent', async (_, argv) => {
    const { code, err } = await runCli(plane.url, argv);
    expect(code).toBe(2);
    expect(err).not.toBe('');
    expect(plane.requests).toEqual([]);
  });

  it('is 2 without a key', async () => {
    const { code, err } = await runCli(plane.url, command, { SEVER_KEY: '' });
    expect(code).toBe(2);
    expect(err).toContain('set SEVER_KEY');
  });
});

describe('a kill on a bad connection', () => {
  it('is repeated with the same Idempotency-Key, which is printed', async () => {
    const kill = killBody();
    let attempts = 0;
    plane.on('POST /v1/kills', () => {
      attempts += 1;
      return attempts < 3 ? 'break' : { status: 200, body: kill };
    });
    const { code, err } = await runCli(plane.url, command);
    expect(code).toBe(0);
    expect(killRequests().map((request) => request.headers['idempotency-key'])).toEqual(
      Array(3).fill('generated-key-1'),
    );
    expect(new Set(killRequests().map((request) => JSON.stringify(request.body))).size).toBe(1);
    expect(err).toContain('Idempotency-Key generated-key-1');
    expect(err).toContain('trying again with the same Idempotency-Key');
  });

  it('is sent once when the connection holds and the kill is contained', async () => {
    plane.on('POST /v1/kills', () => ({ status: 200, body: killBody() }));
    const { err } = await runCli(plane.url, command);
    expect(killRequests()).toHaveLength(1);
    expect(err).not.toContain('trying again');
  });

  it('uses the key that the operator gives', async () => {
    plane.on('POST /v1/kills', () => ({ status: 200, body: killBody() }));
    await runCli(plane.url, [...command, '--idempotency-key', 'INC-7']);
    expect(killRequests()[0]?.headers['idempotency-key']).toBe('INC-7');
  });

  it('is repeated when the server is briefly unavailable, and not when it refuses', async () => {
    let attempts = 0;
    plane.on('POST /v1/kills', () => {
      attempts += 1;
      return attempts === 1
        ? refusal('fence_busy', 'Try again.')
        : { status: 200, body: killBody() };
    });
    expect((await runCli(plane.url, command)).code).toBe(0);
    plane.on('POST /v1/kills', () => refusal('forbidden', 'Your role may not kill.'));
    plane.requests.length = 0;
    expect((await runCli(plane.url, command)).code).toBe(1);
    expect(killRequests()).toHaveLength(1);
  });

  it('is reported as uncertain, exit 4, when no attempt got an answer', async () => {
    plane.on('POST /v1/kills', () => 'break');
    const { code, err } = await runCli(plane.url, command);
    expect(code).toBe(4);
    expect(err).toContain('It is not known whether the kill was committed');
    expect(err).toContain('--idempotency-key generated-key-1');
  });

  it('is exit 1 when the control plane was never reached, so surely nothing was done', async () => {
    const { url } = plane;
    await plane.close();
    const { code, err } = await runCli(url, command);
    expect(code).toBe(1);
    expect(err).toContain('cannot connect to');
    expect(err).toContain('ECONNREFUSED');
  });

  it('stays committed when only the wait for containment fails', async () => {
    const kill = pendingKill();
    let attempts = 0;
    plane.on('POST /v1/kills', () => {
      attempts += 1;
      return attempts === 1 ? { status: 202, body: kill } : 'break';
    });
    const { code, out, err } = await runCli(plane.url, command);
    expect(code).toBe(3);
    expect(out).toContain(kill.id);
    expect(err).toContain('cannot follow the kill further');
  });
});

describe('waiting for containment', () => {
  it('asks for the commit first, then waits under the same key for as long as the operator said', async () => {
    const kill = pendingKill();
    plane.on('POST /v1/kills', ({ query }) =>
      query.get('wait') === '0'
        ? { status: 202, body: kill }
        : { status: 200, body: killBody({ id: kill.id }) },
    );
    const { code } = await runCli(plane.url, [...command, '--wait', '2m']);
    expect(code).toBe(0);
    expect(killRequests().map((request) => request.query.get('wait'))).toEqual(['0', '30000ms']);
    expect(new Set(killRequests().map((request) => request.headers['idempotency-key'])).size).toBe(
      1,
    );
  });

  it('says at Ctrl-C that the kill stands and how to look at it', async () => {
    const kill = pendingKill();
    plane.on('POST /v1/kills', ({ query }) =>
      query.get('wait') === '0' ? { status: 202, body: kill } : 'hang',
    );
    const cli = new CliRun([...command, '--wait', '30s'], { SEVER_URL: plane.url });
    await eventually(() => killRequests().length === 2);
    cli.interrupt();
    expect(await cli.exit).toBe(3);
    expect(cli.err).toContain(
      `the kill stands; stopped waiting. Look at it: sever kills ${kill.id}`,
    );
    expect(cli.out.split('\n')[0]).toBe(kill.summary);
  });

  it('does not claim at Ctrl-C that a kill stands whose commit was not confirmed', async () => {
    plane.on('POST /v1/kills', () => 'hang');
    const cli = new CliRun(command, { SEVER_URL: plane.url });
    await eventually(() => killRequests().length === 1);
    cli.interrupt();
    expect(await cli.exit).toBe(4);
    expect(cli.err).not.toContain('the kill stands');
    expect(cli.err).toContain('It is not known whether the kill was committed');
  });
});

describe('--json and --dry-run', () => {
  it('prints one JSON document: the kill and its Idempotency-Key', async () => {
    const kill = killBody();
    plane.on('POST /v1/kills', () => ({ status: 200, body: kill }));
    const { code, out } = await runCli(plane.url, [...command, '--json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ ...kill, idempotency_key: 'generated-key-1' });
  });

  it('prints a refusal as its problem', async () => {
    plane.on('POST /v1/kills', () =>
      refusal('ancestor_revoked', 'Dead already.', { kill_id: newId('kill'), terminal: true }),
    );
    const { code, out } = await runCli(plane.url, ['--json', ...command]);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      code: 'ancestor_revoked',
      status: 409,
      terminal: true,
    });
  });

  it('prints a usage error and an uncertain kill as documents too', async () => {
    const usage = await runCli(plane.url, ['kill', 'planner', '--reason', 'x', '--json']);
    expect(JSON.parse(usage.out)).toMatchObject({ code: 'usage' });
    plane.on('POST /v1/kills', () => 'break');
    const uncertain = await runCli(plane.url, [...command, '--json']);
    expect(JSON.parse(uncertain.out)).toMatchObject({
      code: 'uncertain',
      idempotency_key: 'generated-key-1',
    });
  });

  it('sends several targets as one kill', async () => {
    const credential = newId('credential');
    plane.on('POST /v1/kills', () => ({ status: 200, body: killBody() }));
    await runCli(plane.url, ['kill', target, credential, '--reason', 'x', '--ticket', 'INC-7']);
    expect(killRequests()[0]?.body).toEqual({
      subjects: [
        { kind: 'agent', id: target },
        { kind: 'credential', id: credential },
      ],
      reason: 'x',
      ticket: 'INC-7',
    });
  });
});

describe('keys', () => {
  it('never appear in any output, whatever goes wrong', async () => {
    const outputs = [
      await runCli(plane.url, [...command, '--json']),
      await runCli(plane.url, command, { SEVER_KEY: `${KEY}-wrong` }),
      await runCli(plane.url, [...command, `--kye=${KEY}`, '--json']),
      await runCli(plane.url, command, { SEVER_KEY: `${KEY}\u0001` }),
      await runCli(`http://user:${KEY}@127.0.0.1:1`, command),
    ];
    expect(outputs.map(({ code }) => code)).toEqual([1, 1, 2, 2, 2]);
    for (const { out, err } of outputs) expect(out + err).not.toContain(KEY);
  });
});
