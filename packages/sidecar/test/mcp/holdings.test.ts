import type { Caller, InFlightCall } from '@sever/enforcement';
import { HOLDING_LIMITS, Holdings, type HoldingLimits } from '../../src/mcp/holdings';
import type { Admitted } from '../../src/relay/exchange';

function table(limits: Partial<HoldingLimits> = {}) {
  const time = { now: 0 };
  const holdings = new Holdings({
    now: () => time.now,
    limits: { ...HOLDING_LIMITS, ...limits },
  });
  const left: string[] = [];
  holdings.onLeft = ({ sessions, tasks }, ending) =>
    void left.push([ending, ...[...sessions, ...tasks].map(({ id }) => id)].join(' '));
  const killed = new Map<string, Set<() => void>>();
  const by = (agentId: string, credentialId = 'crd', tenant = 'ten'): Admitted => {
    const caller = { agentId, tenant, credentialId } as Caller;
    const call = {
      onKilled: (tell: () => void) => {
        const watches = killed.get(credentialId) ?? new Set();
        killed.set(credentialId, watches.add(tell));
        return () => void watches.delete(tell);
      },
    } as InFlightCall;
    return { decision: 'allow', stale: false, caller, call };
  };
  const kill = (credentialId: string): void => {
    for (const tell of [...(killed.get(credentialId) ?? [])]) tell();
  };
  const task = (id: string, sessionId?: string) => ({
    id,
    sessionId,
    tool: 't',
    revision: undefined,
  });
  return { time, holdings, left, by, kill, task, killed };
}

describe('what agents hold', () => {
  it('is theirs alone: by agent and tenant', () => {
    const { holdings, by } = table();
    expect(holdings.bind(by('one'), 's', undefined)).toBe(true);
    expect(holdings.session(by('one'), 's')).toBeDefined();
    expect(holdings.session(by('two'), 's')).toBeUndefined();
    expect(holdings.session(by('one', 'crd', 'other'), 's')).toBeUndefined();
    expect(holdings.bind(by('two'), 's', undefined)).toBe(false);
  });

  it('is left at the kill of any token that had a hand in it, and another agent keeps its own', () => {
    const { holdings, left, by, kill, task } = table();
    holdings.bind(by('one', 'crd_1'), 's1', undefined);
    holdings.addTask(by('one', 'crd_1'), task('t1', 's1'));
    holdings.bind(by('two', 'crd_2'), 's2', undefined);
    holdings.session(by('one', 'crd_3'), 's1');
    kill('crd_3');
    expect(left).toEqual(['killed s1 t1']);
    kill('crd_1');
    expect(left).toHaveLength(1);
    expect(holdings.session(by('one', 'crd_1'), 's1')).toBeUndefined();
    expect(holdings.task(by('one').caller, 't1')).toBeUndefined();
    expect(holdings.session(by('two', 'crd_2'), 's2')).toBeDefined();
  });

  it('is ended when nobody uses it, unless something runs in it', () => {
    const { time, holdings, left, by, task } = table({ idleMs: 10, taskMs: 100 });
    for (const agent of ['idle', 'busy', 'working']) holdings.bind(by(agent), agent, undefined);
    const busy = holdings.session(by('busy'), 'busy');
    if (busy !== undefined) busy.open = 1;
    holdings.addTask(by('working'), task('t', 'working'));
    time.now = 20;
    expect(holdings.session(by('idle'), 'idle')).toBeUndefined();
    expect(left).toEqual(['idle idle']);
    expect(holdings.session(by('busy'), 'busy')).toBeDefined();
    expect(holdings.session(by('working'), 'working')).toBeDefined();
  });

  it('is bounded by agent, so that none can push out what another one has', () => {
    const { holdings, left, by, task } = table({ sessionsPerAgent: 2, tasksPerAgent: 2 });
    holdings.bind(by('quiet'), 'q', undefined);
    for (const id of ['a', 'b', 'c']) holdings.bind(by('greedy'), id, undefined);
    for (const id of ['t1', 't2', 't3']) holdings.addTask(by('greedy'), task(id));
    expect(left).toEqual(['crowded a', 'crowded t1']);
    expect(holdings.session(by('quiet'), 'q')).toBeDefined();
  });

  it('is bounded in all, and what is used stays', () => {
    const { holdings, left, by } = table({ agents: 2 });
    holdings.bind(by('one'), 's1', undefined);
    holdings.bind(by('two'), 's2', undefined);
    holdings.session(by('one'), 's1');
    holdings.bind(by('three'), 's3', undefined);
    expect(left).toEqual(['crowded s2']);
    expect(holdings.session(by('one'), 's1')).toBeDefined();
  });

  it('is forgotten with all that watched for it', () => {
    const { holdings, by, killed, left } = table();
    holdings.bind(by('one'), 's', undefined);
    holdings.unbind(by('one').caller, 's');
    expect(left).toEqual([]);
    expect(killed.get('crd')?.size).toBe(0);
    expect(holdings.bind(by('two'), 's', undefined)).toBe(true);
  });

  it('remembers a task for as long as the upstream says that it keeps it', () => {
    const { time, holdings, by, task } = table();
    holdings.addTask(by('one'), task('short'), 50);
    holdings.addTask(by('one'), task('long'));
    time.now = 60;
    expect(holdings.task(by('one').caller, 'short')).toBeUndefined();
    expect(holdings.task(by('one').caller, 'long')).toBeDefined();
    expect(holdings.task(by('two').caller, 'long')).toBeUndefined();
  });
});
