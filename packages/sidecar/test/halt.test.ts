import { HaltReply, SidecarState } from '@sever/protocol';
import { FailureGate } from '../src/failure-gate';
import { sidecarBefore, type SidecarUnderTest } from './support/sidecar-under-test';

describe('POST /halt', () => {
  let under: SidecarUnderTest;
  beforeEach(async () => void (under = await sidecarBefore({ tools: 'http://127.0.0.1:9/mcp' })));
  afterEach(() => under.sidecar.close());

  const bring = (body: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${under.url}/halt`, { method: 'POST', body, headers });

  it.each([
    ['application/jose', { 'content-type': 'application/jose' }],
    ['application/json', { 'content-type': 'application/json' }],
    ['what curl says by itself', { 'content-type': 'application/x-www-form-urlencoded' }],
    ['nothing', {}],
  ])('takes the signed text whatever its sender calls it: %s', async (_, headers) => {
    under.enforcer.haltOutcome = { outcome: 'enforced', killId: 'kil_h', kept: true };
    const reply = await bring('a.b.c\n', headers);
    expect(reply.status).toBe(200);
    expect(HaltReply.parse(await reply.json())).toEqual({
      ...{ kill_id: 'kil_h', state: 'enforced', kept: true },
    });
    expect(under.enforcer.haltsBrought).toEqual(['a.b.c\n']);
  });

  it('needs no lease, and no credential', async () => {
    under.enforcer.lapse();
    under.enforcer.haltOutcome = { outcome: 'known', killId: 'kil_h', kept: false };
    const reply = await bring('a.b.c');
    expect(reply.status).toBe(200);
    expect(await reply.json()).toEqual({ kill_id: 'kil_h', state: 'known', kept: false });
  });

  it.each([
    ['not_signed', 403, 'bad_proof'],
    ['expired', 422, 'unprocessable'],
    ['over', 422, 'unprocessable'],
  ] as const)('answers one that is %s as a problem', async (why, status, code) => {
    under.enforcer.haltOutcome = { outcome: 'refused', why };
    const reply = await bring('a.b.c');
    expect(reply.status).toBe(status);
    expect(reply.headers.get('content-type')).toContain('application/problem+json');
    expect(await reply.json()).toMatchObject({ code, status });
    expect(under.logged).toContain('a halt was refused');
  });

  it('does not read more than a halt can be', async () => {
    expect((await bring('x'.repeat(40_000))).status).toBe(413);
    expect(under.enforcer.haltsBrought).toEqual([]);
  });

  it('makes an address that only brings unsigned orders wait, and goes on deciding calls', async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 12; n += 1) statuses.push((await bring('nonsense')).status);
    expect(statuses).toEqual([...Array<number>(10).fill(403), 429, 429]);
    const waiting = await bring('nonsense');
    expect(Number(waiting.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await waiting.json()).toMatchObject({ code: 'rate_limited' });
    expect(under.enforcer.haltsBrought).toHaveLength(10);
    const check = await fetch(`${under.url}/check`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: under.enforcer.agent('a') }),
    });
    expect(check.status).toBe(200);
  });

  it('shows open halts, and counts what came and every alarm', async () => {
    under.enforcer.halts = [
      {
        ...{ kill_id: 'kil_h', subjects: ['agent:a'], reason: 'wild', kid: 'kid_1' },
        ...{ issued_at: 1, not_after: 2, committed: false },
      },
    ];
    under.enforcer.haltOutcome = { outcome: 'enforced', killId: 'kil_h', kept: true };
    await bring('a.b.c');
    under.enforcer.raise({ kind: 'halt', detail: 'kil_h' });
    const state = SidecarState.parse(await (await fetch(`${under.url}/state`)).json());
    expect(state.halts).toEqual(under.enforcer.halts);
    const metrics = await (await fetch(`${under.url}/metrics`)).text();
    expect(metrics).toContain('sever_sidecar_halts_total{outcome="enforced"} 1');
    expect(metrics).toContain('sever_sidecar_alarms_total{kind="halt"} 1');
    expect(metrics).toContain('sever_sidecar_open_halts 1');
  });
});

describe('the gate before it', () => {
  it('counts each sender by itself, and forgets with the window', () => {
    let now = 0;
    const gate = new FailureGate({ failures: 2, windowMs: 1_000, now: () => now });
    gate.failed('a');
    expect(gate.waitMs('a')).toBe(0);
    gate.failed('a');
    expect([gate.waitMs('a'), gate.waitMs('b')]).toEqual([1_000, 0]);
    now = 999;
    expect(gate.waitMs('a')).toBe(1);
    now = 1_000;
    expect(gate.waitMs('a')).toBe(0);
    gate.failed('a');
    expect(gate.waitMs('a')).toBe(0);
  });
});
