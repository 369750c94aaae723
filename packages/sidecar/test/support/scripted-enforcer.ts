import {
  RefusedError,
  type Alarm,
  type CallContext,
  type Denied,
  type InFlightCall,
  type SeenCall,
} from '@sever/enforcement';
import { covers, toolScope, type Serves } from '@sever/protocol';
import type {
  Admission,
  Decision,
  Enforcer,
  EnforcementState,
  HaltOutcome,
} from '../../src/enforcer';

interface Agent {
  readonly agentId: string;
  readonly scopes: readonly string[];
}

/** An enforcement point without a control plane: the test says who exists, who is revoked and when bytes are held. */
export class ScriptedEnforcer implements Enforcer {
  readonly calls = new Set<ScriptedCall>();
  /** As what each call was admitted, in order. */
  readonly kinds: ('relayed' | 'let_through')[] = [];
  /** What became of calls that were aborted, in order. */
  readonly finished: ScriptedCall[] = [];
  /** What it was told to tell of, in order. */
  readonly served: Serves[] = [];
  closed = false;
  ready = true;
  darkBecause: string | null = null;
  stale = false;
  halts: EnforcementState['halts'] = [];
  /** What the next halt is answered. */
  haltOutcome: HaltOutcome = { outcome: 'refused', why: 'not_signed' };
  readonly haltsBrought: string[] = [];
  /** Records of calls, in order. */
  readonly recorded: SeenCall[] = [];
  callCounts: EnforcementState['calls'] = {
    ...{ sent: 0, waiting: 0, spooled: 0 },
    dropped: { queue_full: 0, spool_full: 0, spool_failed: 0, malformed: 0, refused: 0 },
  };
  private readonly alarmListeners: ((alarm: Alarm) => void)[] = [];
  private readonly agents = new Map<string, Agent>();
  private readonly denials = new Map<string, Denied>();
  private readonly watches = new Set<{ subject: string; listener: () => void }>();

  /** @returns the agent's token */
  agent(agentId: string, scopes: readonly string[] = []): string {
    const token = `token-of.${agentId}.signed`;
    this.agents.set(token, { agentId, scopes });
    return token;
  }

  kill(agentId: string, killId = `kil_${agentId}`): void {
    this.deny(`agent:${agentId}`, {
      decision: 'deny',
      code: 'agent_revoked',
      reason: 'The agent was revoked',
      killId,
      terminal: true,
      stale: false,
    });
    this.tellKilled(`agent:${agentId}`);
  }

  suspend(subject: string): void {
    const code = subject.startsWith('agent:') ? 'agent_suspended' : 'tool_suspended';
    const reason = `The ${code === 'agent_suspended' ? 'agent' : 'tool'} is suspended`;
    const killId = `kil_of_${subject}`;
    this.deny(subject, { decision: 'deny', code, reason, killId, terminal: false, stale: false });
  }

  /** In strict mode without a lease: nothing new, and what runs is held. */
  lapse(): void {
    this.ready = false;
    for (const call of this.calls) call.hold(true);
  }

  recover(): void {
    this.ready = true;
    for (const call of this.calls) call.hold(false);
  }

  check(token: string, context: CallContext): Promise<Decision> {
    return Promise.resolve(this.decide(token, context));
  }

  private decide(token: string, context: CallContext): Decision {
    const agent = this.agents.get(token);
    if (agent === undefined) return deny('invalid_token', 'The token is not valid');
    const caller = {
      ...{ agentId: agent.agentId, credentialId: 'crd', tenant: 'ten', initiatorId: 'ini' },
      ...{ scopes: agent.scopes, expiresAt: 0, chain: [agent.agentId], taskIds: [] },
    };
    const denied = this.denialOf(agent, context);
    if (denied !== undefined) return { ...denied, caller };
    return { decision: 'allow', stale: this.stale, caller };
  }

  private denialOf(agent: Agent, context: CallContext): Denied | undefined {
    for (const subject of subjectsOf(agent, context)) {
      const denied = this.denials.get(subject);
      if (denied !== undefined) return denied;
    }
    if (!this.ready) return deny('enforcement_stale', 'There is no valid lease');
    const asked =
      context.scope ?? (context.tool === undefined ? undefined : toolScope(context.tool));
    if (asked !== undefined && !agent.scopes.some((held) => covers(held, asked)))
      return deny('insufficient_scope', 'The token does not cover this call');
    return undefined;
  }

  record(call: SeenCall): void {
    this.recorded.push(call);
  }

  serves(serves: Serves): Promise<void> {
    this.served.push(serves);
    return Promise.resolve();
  }

  now(): number {
    return Date.now();
  }

  admit(
    token: string,
    context: CallContext,
    kind: 'relayed' | 'let_through' = 'relayed',
  ): Promise<Admission> {
    this.kinds.push(kind);
    return Promise.resolve(this.track(token, context));
  }

  private track(token: string, context: CallContext): Admission {
    const decision = this.decide(token, context);
    const agent = this.agents.get(token);
    if (decision.decision === 'deny' || agent === undefined) return decision as Denied;
    const call = new ScriptedCall(
      context,
      subjectsOf(agent, context),
      (ended) => {
        this.calls.delete(ended);
        if (ended.signal.aborted) this.finished.push(ended);
      },
      (listener) => this.watch(`agent:${agent.agentId}`, listener),
    );
    this.calls.add(call);
    return { ...decision, call };
  }

  halt(jws: string): Promise<HaltOutcome> {
    this.haltsBrought.push(jws);
    return Promise.resolve(this.haltOutcome);
  }

  state(): EnforcementState {
    return {
      id: 'enf_scripted',
      name: 'scripted',
      tenant: 'ten',
      issuer: 'http://control-plane.test',
      bootId: 'bot_scripted',
      mode: 'strict',
      ready: this.ready,
      epoch: 1,
      applied: 7,
      leaseLeftMs: this.ready ? 8_000 : 0,
      inFlight: this.calls.size,
      staleAdmissions: 0,
      halts: this.halts,
      calls: this.callCounts,
      darkBecause: this.darkBecause,
    };
  }

  onAlarm(listener: (alarm: Alarm) => void): void {
    this.alarmListeners.push(listener);
  }

  raise(alarm: Alarm): void {
    for (const listener of this.alarmListeners) listener(alarm);
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  /** Who is told of the kill of this subject, when it comes. */
  private watch(subject: string, listener: () => void): () => void {
    const watch = { subject, listener };
    this.watches.add(watch);
    return () => void this.watches.delete(watch);
  }

  private tellKilled(subject: string): void {
    for (const watch of [...this.watches]) {
      if (watch.subject !== subject) continue;
      this.watches.delete(watch);
      watch.listener();
    }
  }

  private deny(subject: string, denied: Denied): void {
    this.denials.set(subject, denied);
    for (const call of [...this.calls]) if (call.subjects.includes(subject)) call.abort(denied);
  }
}

export class ScriptedCall implements InFlightCall {
  readonly id = crypto.randomUUID();
  held = false;
  /** Set by the test: looked at when the call is reported as finished. */
  onFinish: (() => void) | undefined;
  private readonly controller = new AbortController();
  private readonly listeners: ((held: boolean) => void)[] = [];

  constructor(
    readonly context: CallContext,
    readonly subjects: readonly string[],
    private readonly ended: (call: ScriptedCall) => void,
    private readonly watch: (listener: () => void) => () => void,
  ) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  onHold(listener: (held: boolean) => void): void {
    this.listeners.push(listener);
  }

  onKilled(listener: () => void): () => void {
    return this.watch(listener);
  }

  hold(held: boolean): void {
    this.held = held;
    for (const listener of this.listeners) listener(held);
  }

  abort(denied: Denied): void {
    this.controller.abort(new RefusedError(denied));
  }

  finish(): void {
    this.onFinish?.();
    this.ended(this);
  }
}

function subjectsOf(agent: Agent, { tool, upstream }: CallContext): string[] {
  return [
    `agent:${agent.agentId}`,
    ...(tool === undefined ? [] : [`tool:${tool}`]),
    ...(upstream === undefined ? [] : [`upstream:${upstream}`]),
  ];
}

function deny(code: Denied['code'], reason: string): Denied {
  return { decision: 'deny', code, reason, stale: false };
}
