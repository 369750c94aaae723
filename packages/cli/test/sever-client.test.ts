import { newId } from '@sever/protocol';
import {
  allPages,
  ConnectionError,
  ProblemResponseError,
  run,
  SeverClient,
  UnexpectedReplyError,
} from '@sever/cli';
import { agentBody, enforcementPointBody, killBody, pageOf, receiptBody } from './support/fixtures';
import { KEY, refusal, ScriptedControlPlane } from './support/scripted-control-plane';

let plane: ScriptedControlPlane;
let client: SeverClient;

beforeEach(async () => {
  plane = await ScriptedControlPlane.start();
  client = new SeverClient({ url: plane.url, key: KEY });
});
afterEach(() => plane.close());

const agent = agentBody();
const kill = killBody();
const credential = {
  id: newId('credential'),
  token: 'a.b.c',
  expires_at: '2026-05-01T03:27:05.000Z',
  scopes: [],
};
const key = {
  id: newId('apiKey'),
  name: 'ci',
  key: 'sk_x',
  expires_at: '2026-08-01T00:00:00.000Z',
};
const member = {
  kind: 'agent',
  id: agent.id,
  agent_id: agent.id,
  name: 'planner',
  state: 'killed',
};

it.each<[string, number, unknown, (client: SeverClient) => Promise<unknown>]>([
  ['POST /v1/agents', 201, { agent, credential }, (c) => c.spawn({ name: 'planner' })],
  [
    `POST /v1/agents/${agent.id}/credentials`,
    201,
    { credential },
    (c) => c.mint(agent.id, { use: 'tools' }),
  ],
  [`GET /v1/agents/${agent.id}`, 200, agent, (c) => c.getAgent(agent.id)],
  ['GET /v1/agents', 200, pageOf(agent), (c) => c.listAgents({ label: 'team:red' })],
  [`GET /v1/agents/${agent.id}/tree`, 200, pageOf(agent), (c) => c.tree(agent.id)],
  [`POST /v1/agents/${agent.id}/complete`, 200, { agent }, (c) => c.complete(agent.id)],
  [
    'POST /v1/kills',
    202,
    kill,
    (c) => c.kill({ subject: { kind: 'agent', id: agent.id }, reason: 'x' }),
  ],
  [`POST /v1/agents/${agent.id}/kill`, 200, kill, (c) => c.killAgent(agent.id, { reason: 'x' })],
  [`GET /v1/kills/${kill.id}`, 200, kill, (c) => c.getKill(kill.id)],
  ['GET /v1/kills', 200, pageOf(kill), (c) => c.listKills()],
  [`GET /v1/kills/${kill.id}/cascade`, 200, pageOf(member), (c) => c.cascade(kill.id)],
  [`GET /v1/kills/${kill.id}/receipts`, 200, pageOf(receiptBody()), (c) => c.receipts(kill.id)],
  ['GET /v1/enforcement-points', 200, pageOf(enforcementPointBody()), (c) => c.enforcementPoints()],
  [
    'POST /v1/api-keys',
    201,
    { ...key, role: 'service' },
    (c) => c.createApiKey({ role: 'service', name: 'ci' }),
  ],
  [
    'POST /v1/enrolment-keys',
    201,
    { ...key, role: 'enforcement_point' },
    (c) => c.createEnrolmentKey({ name: 'ci' }),
  ],
])('%s returns the validated body', async (route, status, body, call) => {
  plane.on(route, () => ({ status, body }));
  expect(await call(client)).toEqual(body);
  expect(plane.requests).toHaveLength(1);
});

it('always sends an Idempotency-Key with a kill, and the wait in milliseconds', async () => {
  plane.on(`POST /v1/agents/${agent.id}/kill`, () => ({ status: 200, body: kill }));
  await client.killAgent(agent.id, { reason: 'x' });
  await client.killAgent(agent.id, { reason: 'x' }, { waitMs: 5_000, idempotencyKey: 'mine' });
  const [first, second] = plane.requests;
  expect(first?.headers['idempotency-key']).toMatch(/^[0-9a-f-]{36}$/);
  expect(first?.query.get('wait')).toBeNull();
  expect(second?.headers['idempotency-key']).toBe('mine');
  expect(second?.query.get('wait')).toBe('5000ms');
});

it('rejects a refusal with its problem', async () => {
  const killId = newId('kill');
  plane.on('POST /v1/agents', () =>
    refusal('ancestor_revoked', 'Its parent is dead.', { kill_id: killId, terminal: true }),
  );
  const error: unknown = await client.spawn({ name: 'x' }).catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(ProblemResponseError);
  expect(error).toMatchObject({
    code: 'ancestor_revoked',
    status: 409,
    problem: { kill_id: killId, terminal: true },
  });
});

it('tells a body that breaks the contract from a connection that breaks', async () => {
  plane.serve(`GET /v1/kills/${kill.id}`, { id: kill.id });
  await expect(client.getKill(kill.id)).rejects.toBeInstanceOf(UnexpectedReplyError);
  plane.on(`GET /v1/kills/${kill.id}`, () => 'break');
  await expect(client.getKill(kill.id)).rejects.toMatchObject({
    code: 'unreachable',
    maybeDone: true,
  });
});

it('gives up on a server that never answers, and at the caller’s signal', async () => {
  plane.on('GET /v1/kills', () => 'hang');
  await expect(client.listKills({}, { timeoutMs: 50 })).rejects.toBeInstanceOf(ConnectionError);
  const stop = new AbortController();
  const pending = client.listKills({}, { signal: stop.signal });
  stop.abort(new Error('stopped by the caller'));
  await expect(pending).rejects.toThrow('stopped by the caller');
});

it('speaks under another key with as(), and keeps its own', async () => {
  plane.serve('GET /v1/kills', pageOf());
  await expect(client.as('other').listKills()).rejects.toMatchObject({ code: 'unauthenticated' });
  await expect(client.listKills()).resolves.toEqual(pageOf());
});

it('lets no id reach another route', async () => {
  await client.getAgent('../kills?x=1').catch(() => undefined);
  expect(plane.requests.map((request) => request.path)).toEqual(['/v1/agents/..%2Fkills%3Fx%3D1']);
});

it('works below a base path', async () => {
  plane.serve('GET /sever/v1/kills', pageOf());
  const below = new SeverClient({ url: `${plane.url}/sever`, key: KEY });
  expect(await below.listKills()).toEqual(pageOf());
});

it('allPages reads to the end, or to the number asked for', async () => {
  const read = ({ cursor }: { cursor?: string | undefined }) => {
    const at = Number(cursor ?? 0);
    return Promise.resolve({ items: [at, at + 1], next_cursor: at < 4 ? String(at + 2) : null });
  };
  expect(await allPages(read)).toEqual({ items: [0, 1, 2, 3, 4, 5], next_cursor: null });
  expect(await allPages(read, 3)).toEqual({ items: [0, 1, 2, 3], next_cursor: '4' });
});

it('run() lets the caller add commands whose exit code counts', async () => {
  const io = {
    stdout: { write: () => true },
    stderr: { write: () => true },
    env: {},
    fetch: globalThis.fetch,
    now: Date.now,
    delay: () => Promise.resolve(),
    newIdempotencyKey: () => 'k',
    readInput: () => Promise.resolve(''),
    onInterrupt: () => () => undefined,
    setExitCode: () => undefined,
  };
  const code = await run(['demo'], io, (program, own) => {
    program.command('demo').action(() => own.setExitCode(7));
  });
  expect(code).toBe(7);
});
