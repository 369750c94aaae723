import type { Caller, InFlightCall } from '@sever/enforcement';

/** A session of the upstream, as the agent that opened it holds it. */
export interface Session {
  readonly id: string;
  /** Exchanges that run in it; while there is one it is not idle. */
  open: number;
  /** Monotonic, milliseconds. */
  usedAt: number;
  revision: string | undefined;
}

/** Work that the upstream goes on with after the call that asked for it has ended. */
export interface Task {
  readonly id: string;
  /** The name by which the tool is decided upon; absent when its reply came by another stream than its call's. */
  readonly tool: string | undefined;
  readonly sessionId: string | undefined;
  readonly revision: string | undefined;
  /** Monotonic, milliseconds: the upstream forgets it then. */
  readonly until: number;
}

export interface Left {
  readonly sessions: readonly Session[];
  readonly tasks: readonly Task[];
}

/** Tokens of one agent whose kill is watched for; older ones have mostly expired. */
const WATCHED = 8;

/** All that one agent has open at one upstream. */
export class Holding {
  readonly sessions = new Map<string, Session>();
  readonly tasks = new Map<string, Task>();
  private readonly watches = new Map<string, () => void>();

  constructor(private readonly onKilled: (holding: Holding) => void) {}

  get isEmpty(): boolean {
    return this.sessions.size === 0 && this.tasks.size === 0;
  }

  get isBusy(): boolean {
    return [...this.sessions.values()].some(({ open }) => open > 0);
  }

  /**
   * The kill of any token that had a hand in it ends what is held: of the agent, of an ancestor, or of the token alone,
   * since whoever stole that has perhaps opened it.
   */
  watch(call: InFlightCall, { credentialId }: Caller): void {
    if (this.watches.has(credentialId)) return;
    this.watches.set(credentialId, () => undefined);
    this.watches.set(
      credentialId,
      call.onKilled(() => this.onKilled(this)),
    );
    if (this.watches.size <= WATCHED) return;
    const [oldest] = this.watches.keys();
    if (oldest !== undefined) this.unwatch(oldest);
  }

  /** Takes everything out; it is the caller's to end it. */
  leave(): Left {
    for (const credentialId of [...this.watches.keys()]) this.unwatch(credentialId);
    const left = { sessions: [...this.sessions.values()], tasks: [...this.tasks.values()] };
    this.sessions.clear();
    this.tasks.clear();
    return left;
  }

  /** A session and the tasks that cannot be reached without it. */
  leaveSession(session: Session): Left {
    this.sessions.delete(session.id);
    const tasks = [...this.tasks.values()].filter(({ sessionId }) => sessionId === session.id);
    for (const { id } of tasks) this.tasks.delete(id);
    return { sessions: [session], tasks };
  }

  private unwatch(credentialId: string): void {
    this.watches.get(credentialId)?.();
    this.watches.delete(credentialId);
  }
}
