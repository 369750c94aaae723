import { newId, type LiveReceipt } from '@sever/protocol';
import { agentBody, killBody, pageOf, pendingKill } from './support/fixtures';
import { eventually } from './support/eventually';
import { CliRun } from './support/run-cli';
import { KEY, ScriptedControlPlane } from './support/scripted-control-plane';

let plane: ScriptedControlPlane;
let watch: CliRun | undefined;

beforeEach(async () => {
  plane = await ScriptedControlPlane.start();
  plane.serve('GET /v1/kills', pageOf());
});
afterEach(async () => {
  watch?.interrupt();
  await watch?.exit;
  watch = undefined;
  await plane.close();
});

const TIME = '\\d\\d:\\d\\d:\\d\\d\\.\\d{3}';

function start(...flags: string[]): CliRun {
  watch = new CliRun(['watch', ...flags], { SEVER_URL: plane.url });
  return watch;
}

function receiptOf(killId: string): LiveReceipt {
  return {
    kill_id: killId,
    enforcement_point: { id: newId('enforcementPoint'), name: 'ep-7' },
    boot_id: newId('boot'),
    status: 'enforced',
    latency_ms: 12.4,
  };
}

it('prints the present state first, then a line for each kill, receipt and agent', async () => {
  const old = killBody();
  plane.serve('GET /v1/kills', pageOf(old));
  const cli = start();
  await eventually(() => cli.lines().length === 2);
  const kill = pendingKill();
  const agent = agentBody();
  plane.live.emit('kill', kill);
  plane.live.emit('receipt', receiptOf(kill.id));
  plane.live.emit('agent', agent);
  await eventually(() => cli.lines().length === 5);
  const expected = [
    `live    connected: to ${plane.url}`,
    `kill    ${old.id} contained kill agent ${old.subject.id}: ${old.summary}`,
    `kill    ${kill.id} partial kill agent ${kill.subject.id}: ${kill.summary}`,
    `receipt ${kill.id} enforced by ep-7 in 12 ms`,
    `agent   ${agent.id} active planner for alice@example.com`,
  ];
  cli.lines().forEach((line, at) => {
    expect(line).toMatch(new RegExp(`^${TIME} `));
    expect(line.slice(13)).toBe(expected[at]);
  });
  cli.interrupt();
  expect(await cli.exit).toBe(0);
});

it('holds what happens while the state is read, so that no event is lost or older than the state', async () => {
  const old = killBody();
  let answer: (() => void) | undefined;
  plane.on('GET /v1/kills', async () => {
    await new Promise<void>((resolve) => (answer = resolve));
    return { status: 200, body: pageOf(old) };
  });
  const cli = start();
  await eventually(() => answer !== undefined);
  const during = pendingKill();
  plane.live.emit('kill', during);
  const marker = agentBody();
  plane.live.emit('agent', marker);
  answer?.();
  await eventually(() => cli.out.includes(marker.id));
  expect(
    cli.lines().map((line) => line.split(' ').find((word) => /^(kil|agt)_/.test(word))),
  ).toEqual([undefined, old.id, during.id, marker.id]);
});

it('prints a kill again only when something visible changed', async () => {
  const kill = pendingKill();
  const cli = start();
  await eventually(() => cli.out.includes('no kills so far'));
  plane.live.emit('kill', kill);
  plane.live.emit('kill', { ...kill, cascade: { ...kill.cascade, agents: 4 } });
  plane.live.emit('kill', { ...kill, state: 'contained', summary: 'Stopped.' });
  await eventually(() => cli.out.includes('contained'));
  expect(cli.lines().filter((line) => line.includes(kill.id))).toHaveLength(2);
});

it('reconnects when the control plane comes back, says so, and reads the state again', async () => {
  const cli = start();
  await eventually(() => cli.out.includes('no kills so far'));
  const { port } = plane;
  await plane.close();
  await eventually(() => cli.out.includes('disconnected: '));
  const missed = killBody();
  plane = await ScriptedControlPlane.start(port);
  plane.serve('GET /v1/kills', pageOf(missed));
  await eventually(() => cli.out.includes(missed.id), 10_000);
  expect(cli.out).toContain(`reconnected: to ${plane.url}`);
  const after = agentBody();
  plane.live.emit('agent', after);
  await eventually(() => cli.out.includes(after.id));
});

it('comes back when the server itself orders the disconnection, as a deploy does', async () => {
  const cli = start();
  await eventually(() => cli.out.includes('no kills so far'));
  plane.live.disconnectSockets();
  await eventually(() => cli.out.includes('reconnected: '));
});

it('prints one JSON object a line with --json', async () => {
  const cli = start('--json');
  await eventually(() => cli.lines().length === 2);
  const kill = killBody();
  const agent = agentBody();
  const receipt = receiptOf(kill.id);
  plane.live.emit('kill', kill);
  plane.live.emit('receipt', receipt);
  plane.live.emit('agent', agent);
  await eventually(() => cli.lines().length === 5);
  const events = cli.lines().map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events).toMatchObject([
    { event: 'connected' },
    { event: 'state', kills: [] },
    { event: 'kill', kill },
    { event: 'receipt', receipt },
    { event: 'agent', agent },
  ]);
  for (const { at } of events) expect(at).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
});

it('lets a hostile name act on no terminal', async () => {
  const cli = start();
  await eventually(() => cli.out.includes('no kills so far'));
  plane.live.emit('agent', agentBody({ name: '\x1b[2J\u009b31m\nkill fake' }));
  await eventually(() => cli.lines().length === 3);
  expect(cli.out).toContain('\\x1b[2J\\x9b31m\\nkill fake');
});

it('ends with exit 1 when the key is refused, without printing it', async () => {
  const wrong = `${KEY}-wrong`;
  const cli = new CliRun(['watch'], { SEVER_URL: plane.url, SEVER_KEY: wrong });
  expect(await cli.exit).toBe(1);
  expect(cli.err).toContain('refused: unauthenticated (401)');
  expect(cli.out + cli.err).not.toContain(wrong);
});

it('says once that it cannot reach the control plane, keeps trying, and connects when it appears', async () => {
  const { port } = plane;
  await plane.close();
  const cli = start();
  await eventually(() => cli.out.includes('unreachable: '));
  plane = await ScriptedControlPlane.start(port);
  plane.serve('GET /v1/kills', pageOf());
  await eventually(() => cli.out.includes('connected: to'), 10_000);
  expect(cli.out.match(/unreachable/g)).toHaveLength(1);
});
