import type { Caller } from '@sever/enforcement';
import type { Admitted } from '../relay/exchange';
import { Holding, type Left, type Session, type Task } from './holding';

export interface HoldingLimits {
  /** Agents with something open at the upstream. */
  readonly agents: number;
  readonly sessionsPerAgent: number;
  readonly tasksPerAgent: number;
  /** Milliseconds after which a session that nobody uses is ended. */
  readonly idleMs: number;
  /** Milliseconds for which a task is remembered that says of itself no shorter time. */
  readonly taskMs: number;
}

/** Callers that nobody knows, where the policy only observes: they cannot be told apart, and each has sessions of its own. */
const UNKNOWN = 'unknown';

export const HOLDING_LIMITS: HoldingLimits = {
  agents: 10_000,
  sessionsPerAgent: 64,
  tasksPerAgent: 256,
  idleMs: 3_600_000,
  taskMs: 86_400_000,
};

/** `crowded`: another one took its place; `withdrawn`: the upstream is not served any more. */
export type Ending = 'killed' | 'idle' | 'crowded' | 'withdrawn';

export interface HoldingsOptions {
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly limits: HoldingLimits;
}

/**
 * What each agent has open at one upstream: its sessions, which no other agent can use, and the tasks that it left
 * running. Kept in memory alone, so after a restart every session is unknown and its client opens a new one.
 */
export class Holdings {
  /** By agent; the one that was used last stands last. */
  private readonly byAgent = new Map<string, Holding>();
  /** Whose a session or task is, among all agents. */
  private readonly holders = new Map<string, Holding>();

  /** What is no longer held is still open upstream: to be ended there. Returns at once. */
  onLeft: (left: Left, ending: Ending) => void = () => undefined;

  constructor(private readonly options: HoldingsOptions) {}

  /** The session, if this agent opened it. */
  session({ caller, call }: Admitted, id: string): Session | undefined {
    this.sweep();
    const holding = this.byAgent.get(keyOf(caller));
    const session = holding?.sessions.get(id);
    if (holding === undefined || session === undefined) return undefined;
    holding.watch(call, caller);
    this.touch(keyOf(caller), holding);
    session.usedAt = this.options.now();
    return session;
  }

  /** @returns false when another agent has it: then the upstream confuses the two, and neither must be served. */
  bind({ caller, call }: Admitted, id: string, revision: string | undefined): boolean {
    const holding = this.holding(caller);
    const holder = this.holders.get(`session ${id}`);
    if (holder !== undefined && holder !== holding) return false;
    if (holder === undefined) {
      this.holders.set(`session ${id}`, holding);
      holding.sessions.set(id, { id, open: 0, usedAt: this.options.now(), revision });
      this.keepWithinLimits(holding);
    }
    // Last: an agent that was killed meanwhile leaves at once what it has just been given.
    holding.watch(call, caller);
    return true;
  }

  /** The agent has ended it itself, or the upstream has. */
  unbind(caller: Caller, id: string): void {
    const holding = this.byAgent.get(keyOf(caller));
    const session = holding?.sessions.get(id);
    if (holding === undefined || session === undefined) return;
    const { tasks } = holding.leaveSession(session);
    this.forget({ sessions: [session], tasks });
    this.dropEmpty(holding);
  }

  task(caller: Caller, id: string): Task | undefined {
    const task = this.byAgent.get(keyOf(caller))?.tasks.get(id);
    return task === undefined || task.until <= this.options.now() ? undefined : task;
  }

  /** @param ttlMs how long the upstream says that it keeps it */
  addTask(
    { caller, call }: Admitted,
    task: Omit<Task, 'until'>,
    ttlMs: number = this.options.limits.taskMs,
  ): void {
    const holding = this.holding(caller);
    const holder = this.holders.get(`task ${task.id}`);
    if (holder !== undefined && holder !== holding) return;
    const until = this.options.now() + Math.min(ttlMs, this.options.limits.taskMs);
    this.holders.set(`task ${task.id}`, holding);
    holding.tasks.set(task.id, { ...task, until });
    this.keepWithinLimits(holding);
    holding.watch(call, caller);
  }

  /** What the agent still has running in the session. */
  tasksIn(caller: Caller, { id }: Session): readonly Task[] {
    const tasks = this.byAgent.get(keyOf(caller))?.tasks.values() ?? [];
    return [...tasks].filter(({ sessionId }) => sessionId === id);
  }

  /** Everything. */
  leave(): Left[] {
    return [...this.byAgent].map(([key, holding]) => this.remove(key, holding));
  }

  private holding(caller: Caller): Holding {
    const key = keyOf(caller);
    const holding =
      this.byAgent.get(key) ??
      new Holding((killed) => {
        if (this.byAgent.get(key) === killed) this.leftBy(this.remove(key, killed), 'killed');
      });
    this.touch(key, holding);
    return holding;
  }

  private touch(key: string, holding: Holding): void {
    this.byAgent.delete(key);
    this.byAgent.set(key, holding);
  }

  /** What was used longest ago goes first, and only from whoever has too much: no agent can push out another's. */
  private keepWithinLimits(holding: Holding): void {
    const { sessionsPerAgent, tasksPerAgent, agents } = this.options.limits;
    const isShared = holding === this.byAgent.get(UNKNOWN);
    if (holding.sessions.size > (isShared ? agents : sessionsPerAgent)) {
      const [oldest] = [...holding.sessions.values()].sort(
        (a, b) => Math.sign(a.open) - Math.sign(b.open) || a.usedAt - b.usedAt,
      );
      if (oldest !== undefined) this.leftBy(holding.leaveSession(oldest), 'crowded');
    }
    if (holding.tasks.size > (isShared ? agents : tasksPerAgent)) {
      const [oldest] = holding.tasks.values();
      if (oldest !== undefined) {
        holding.tasks.delete(oldest.id);
        this.leftBy({ sessions: [], tasks: [oldest] }, 'crowded');
      }
    }
    if (this.byAgent.size <= agents) return;
    const [crowded] = [...this.byAgent].filter(([, other]) => other !== holding && !other.isBusy);
    if (crowded !== undefined) this.leftBy(this.remove(...crowded), 'crowded');
  }

  /** Looks at those that were used longest ago, so that no timer is needed. */
  private sweep(): void {
    const now = this.options.now();
    const idleSince = now - this.options.limits.idleMs;
    for (const [key, holding] of this.byAgent) {
      for (const task of [...holding.tasks.values()]) {
        if (task.until > now) continue;
        holding.tasks.delete(task.id);
        this.forget({ sessions: [], tasks: [task] });
      }
      const working = new Set([...holding.tasks.values()].map(({ sessionId }) => sessionId));
      for (const session of [...holding.sessions.values()])
        if (session.open === 0 && session.usedAt <= idleSince && !working.has(session.id))
          this.leftBy(holding.leaveSession(session), 'idle');
      if (!holding.isEmpty) return;
      this.remove(key, holding);
    }
  }

  private dropEmpty(holding: Holding): void {
    if (!holding.isEmpty) return;
    for (const [key, other] of this.byAgent) if (other === holding) this.remove(key, holding);
  }

  private remove(key: string, holding: Holding): Left {
    this.byAgent.delete(key);
    const left = holding.leave();
    this.forget(left);
    return left;
  }

  private leftBy(left: Left, ending: Ending): void {
    this.forget(left);
    if (left.sessions.length > 0 || left.tasks.length > 0) this.onLeft(left, ending);
  }

  private forget({ sessions, tasks }: Left): void {
    for (const { id } of sessions) this.holders.delete(`session ${id}`);
    for (const { id } of tasks) this.holders.delete(`task ${id}`);
  }
}

function keyOf({ tenant, agentId }: Caller): string {
  return agentId === '' ? UNKNOWN : `${tenant} ${agentId}`;
}
