import type { ServerResponse } from 'node:http';
import type { SeenCall } from '@sever/enforcement';
import { eventually } from '../../../../test/support/eventually';
import { agentClient } from '../support/agent-client';
import { postMessage, toolCall } from '../support/post-message';
import { RawUpstream } from '../support/raw-upstream';
import { sidecarBefore, type SidecarUnderTest } from '../support/sidecar-under-test';
import { ToolServer } from '../support/tool-server';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('the record of an exchange', () => {
  let tools: ToolServer;
  let raw: RawUpstream;
  let seenHeaders: Record<string, unknown>[];
  let held: ServerResponse[];
  let under: SidecarUnderTest;

  beforeEach(async () => {
    tools = await ToolServer.start();
    seenHeaders = [];
    held = [];
    raw = await RawUpstream.start((request, response) => {
      seenHeaders.push(request.headers);
      held.push(response);
    });
    under = await sidecarBefore({ tools: tools.url, raw: raw.url, gone: 'http://127.0.0.1:1/mcp' });
  });
  afterEach(async () => {
    await under.sidecar.close();
    await Promise.all([tools.close(), raw.close()]);
  });

  const agent = (id: string): string => under.enforcer.agent(id, ['tool:*']);
  const recorded = (id: string): SeenCall[] =>
    under.enforcer.recorded.filter(({ caller }) => caller.agentId === id);
  const only = (id: string): Promise<SeenCall> =>
    eventually(() => {
      expect(recorded(id)).toHaveLength(1);
      return recorded(id)[0] as SeenCall;
    });

  async function answered(id: string, headers: Record<string, string> = {}): Promise<void> {
    const from = held.length;
    const reply = postMessage(
      `${under.url}/raw`,
      agent(id),
      toolCall(id, 'work', { b: [1, 'é'], a: { token: 'x' } }),
      headers,
    );
    await eventually(() => expect(held.length).toBe(from + 1));
    held[from]?.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0"}');
    await (await reply).text();
  }

  it('says who called what, for how long, and what went each way', async () => {
    await answered('one');
    expect(await only('one')).toMatchObject({
      ...{ upstream: 'raw', tool: 'raw/work', decision: 'allow', outcome: 'completed' },
      ...{ stale: false, status: 200, bytesOut: 17 },
      caller: { agentId: 'one', chain: ['one'] },
    });
    const { bytesIn, durationMs, arguments: args, method } = await only('one');
    expect(bytesIn).toBeGreaterThan(80);
    expect(durationMs).toBeGreaterThan(0);
    expect([args, method]).toEqual([undefined, undefined]);
  });

  it('holds of the arguments a digest that does not depend on how they were spelled', async () => {
    await answered('one');
    const { argumentsHash } = await only('one');
    expect(argumentsHash).toMatch(/^[A-Za-z0-9_-]{43}$/);
    const respelled = `{"params":{"arguments":{ "a":{"token":"x"}, "b":[1.0,"\\u00e9"]},"name":"work"},"id":7,"jsonrpc":"2.0","method":"tools/call"}`;
    const reply = postMessage(`${under.url}/raw`, agent('two'), respelled);
    await eventually(() => expect(held).toHaveLength(2));
    held[1]?.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    await (await reply).text();
    expect((await only('two')).argumentsHash).toBe(argumentsHash);
  });

  it('joins the trace of the caller, which goes on to the upstream as it came', async () => {
    const traceparent = `00-${TRACE}-${SPAN}-01`;
    await answered('traced', { traceparent, tracestate: 'x=y' });
    expect(seenHeaders[0]).toMatchObject({ traceparent, tracestate: 'x=y' });
    expect(await only('traced')).toMatchObject({ traceId: TRACE, spanId: SPAN });
  });

  it.each([
    ['without one', {}],
    ['with one that is none', { traceparent: `00-${TRACE}-${'0'.repeat(16)}-01` }],
  ])('begins a trace %s, and the upstream gets the one that is recorded', async (_, given) => {
    await answered('untraced', { ...given, tracestate: 'x=y' });
    const { traceId, spanId } = await only('untraced');
    expect(traceId).not.toBe(TRACE);
    expect(seenHeaders[0]).toMatchObject({ traceparent: `00-${traceId}-${spanId}-00` });
    expect(seenHeaders[0]).not.toHaveProperty('tracestate');
  });

  it('of a killed agent names the order and the tool; a token that is none is recorded nowhere', async () => {
    const token = agent('doomed');
    under.enforcer.kill('doomed');
    const refused = await postMessage(`${under.url}/raw`, token, toolCall(1, 'work'));
    expect(refused.status).toBe(403);
    expect(await only('doomed')).toMatchObject({
      ...{ decision: 'deny', code: 'agent_revoked', outcome: 'refused', killId: 'kil_doomed' },
      ...{ tool: 'raw/work', status: 403, bytesOut: 0 },
    });
    expect((await postMessage(`${under.url}/raw`, 'nobody', toolCall(1, 'work'))).status).toBe(401);
    expect(under.enforcer.recorded).toHaveLength(1);
  });

  it('that a kill cuts says so, and the one beside it goes on to its own end', async () => {
    const doomed = await agentClient(`${under.url}/tools`, agent('doomed'));
    const neighbour = await agentClient(`${under.url}/tools`, agent('neighbour'));
    let ticks = 0;
    const run = (client: typeof doomed, times: number) =>
      client.callTool({ name: 'tick', arguments: { times } }, undefined, {
        onprogress: () => void (ticks += 1),
      });
    const cut = run(doomed, 1_000_000).catch((error: unknown) => error);
    const whole = run(neighbour, 60);
    await eventually(() => expect(ticks).toBeGreaterThan(4));
    under.enforcer.kill('doomed');
    await Promise.all([cut, whole]);
    const ticksOf = (id: string) => recorded(id).filter(({ tool }) => tool === 'tools/tick');
    await eventually(() => {
      expect(ticksOf('doomed')).toMatchObject([
        { outcome: 'aborted', decision: 'allow', code: 'agent_revoked', killId: 'kil_doomed' },
      ]);
      expect(ticksOf('neighbour')).toMatchObject([{ outcome: 'completed', decision: 'allow' }]);
    });
    await Promise.all([doomed.close(), neighbour.close()]);
  });

  it('tells an upstream that fails from an agent that goes away, and from a message that is none', async () => {
    await postMessage(`${under.url}/gone`, agent('failed'), toolCall(1, 'work'));
    expect(await only('failed')).toMatchObject({
      ...{ outcome: 'failed', code: 'upstream_unreachable', status: 502, decision: 'allow' },
    });
    await postMessage(`${under.url}/raw`, agent('malformed'), '[]');
    expect(await only('malformed')).toMatchObject({
      ...{ outcome: 'refused', code: 'bad_request', status: 400, decision: 'deny', method: 'POST' },
    });
    const abort = new AbortController();
    const leaving = fetch(`${under.url}/raw`, {
      method: 'POST',
      headers: { authorization: `Bearer ${agent('gone')}`, 'content-type': 'application/json' },
      body: JSON.stringify(toolCall(1, 'work')),
      signal: abort.signal,
    }).catch(() => undefined);
    await eventually(() => expect(held).toHaveLength(1));
    abort.abort();
    await leaving;
    expect(await only('gone')).toMatchObject({ outcome: 'abandoned', tool: 'raw/work' });
  });

  it('is made of each decision about a tool that POST /check gives, and of a look at a token none', async () => {
    const ask = (body: object) =>
      fetch(`${under.url}/check`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', traceparent: `00-${TRACE}-${SPAN}-00` },
        body: JSON.stringify(body),
      });
    await ask({ token: agent('asked'), tool: 'files/read' });
    await ask({ token: agent('asked') });
    await ask({ token: 'nobody', tool: 'files/read' });
    await ask({ token: under.enforcer.agent('narrow', []), scope: 'http:GET:billing/invoices' });
    expect(under.enforcer.recorded).toMatchObject([
      {
        ...{ caller: { agentId: 'asked' }, tool: 'files/read', upstream: 'files' },
        ...{ outcome: 'decided', decision: 'allow', traceId: TRACE },
      },
      {
        ...{ caller: { agentId: 'narrow' }, method: 'GET', path: '/invoices', upstream: 'billing' },
        ...{ outcome: 'refused', decision: 'deny', code: 'insufficient_scope' },
      },
    ]);
  });

  it('is counted in /state and /metrics, with what was dropped', async () => {
    under.enforcer.callCounts = {
      ...{ sent: 5, waiting: 2, spooled: 1 },
      dropped: { queue_full: 0, spool_full: 7, spool_failed: 0, malformed: 0, refused: 0 },
    };
    const state = (await (await fetch(`${under.url}/state`)).json()) as { calls: object };
    expect(state.calls).toMatchObject({
      sent: 5,
      waiting: 2,
      spooled: 1,
      dropped: { spool_full: 7 },
    });
    const metrics = await (await fetch(`${under.url}/metrics`)).text();
    expect(metrics).toContain('sever_sidecar_call_records_dropped_total{reason="spool_full"} 7');
    expect(metrics).toContain('sever_sidecar_call_records_waiting 3');
  });
});
