import { newId, type Call } from '@sever/protocol';
import { AT, pageOf } from './support/fixtures';
import { runCli } from './support/run-cli';
import { ScriptedControlPlane } from './support/scripted-control-plane';

let plane: ScriptedControlPlane;

beforeEach(async () => {
  plane = await ScriptedControlPlane.start();
});
afterEach(() => plane.close());

function callBody(more: Partial<Call> = {}): Call {
  const [root, leaf] = [newId('agent'), newId('agent')];
  return {
    ...{ id: newId('call'), started_at: AT, duration_ms: 12.4, stale: false },
    enforcement_point: { id: newId('enforcementPoint'), name: 'edge' },
    agent: { id: leaf, name: 'reader' },
    chain: [
      { id: root, name: 'planner' },
      { id: leaf, name: 'reader' },
    ],
    initiator: { id: newId('initiator'), subject: 'alice@example.com', issuer: null },
    ...{ service_id: null, task_ids: [], credential_id: newId('credential') },
    ...{ remote_address: null, user_agent: null },
    ...{ upstream: 'files', tool: 'files/read', method: null, path: null },
    ...{ decision: 'allow', code: null, outcome: 'completed', kill_id: null, status: 200 },
    ...{ bytes_in: 10, bytes_out: 20, trace_id: null, span_id: null },
    ...{ arguments_hash: null, arguments: null },
    ...more,
  };
}

describe('calls', () => {
  it('shows what was called, how it ended, by whom and for whom', async () => {
    const cut = callBody({ outcome: 'aborted', code: 'agent_revoked' });
    const http = callBody({ tool: null, method: 'GET', path: '/invoices', upstream: 'billing' });
    plane.on('GET /v1/calls', () => ({ status: 200, body: pageOf(cut, http) }));
    const { code, out } = await runCli(plane.url, ['calls', '--initiator', 'alice@example.com']);
    expect(code).toBe(0);
    expect(out).toContain('aborted (agent_revoked)');
    expect(out).toContain('GET billing/invoices');
    expect(out).toContain(cut.chain[0]?.id ?? '');
    expect(out).toContain('alice@example.com');
    expect(plane.requests[0]?.query.get('initiator')).toBe('alice@example.com');
  });

  it('hands every condition on, and prints the records whole as JSON', async () => {
    const [call, kill] = [callBody(), newId('kill')];
    plane.on('GET /v1/calls', () => ({ status: 200, body: pageOf(call) }));
    const { out } = await runCli(plane.url, [
      ...['calls', '--json', '--kill', kill, '--trace', 'a'.repeat(32)],
      ...['--decision', 'deny', '--tool', 'files/read'],
    ]);
    expect(JSON.parse(out)).toEqual({ items: [call], more: false });
    const query = Object.fromEntries(plane.requests[0]?.query ?? []);
    expect(query).toMatchObject({
      ...{ kill_id: kill, trace_id: 'a'.repeat(32), decision: 'deny', tool: 'files/read' },
    });
  });

  it.each([
    [['--kill', 'kil_1'], '--kill'],
    [['--trace', 'xyz'], '--trace'],
    [['--decision', 'maybe'], '--decision'],
    [['--limit', '0'], '--limit'],
  ])('refuses %j before it asks anybody', async (options, named) => {
    const { code, err } = await runCli(plane.url, ['calls', ...options]);
    expect(code).toBe(2);
    expect(err).toContain(named);
    expect(plane.requests).toHaveLength(0);
  });
});
