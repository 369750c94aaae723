import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '@sever/enforcement';
import type { Metrics } from '../metrics';
import { HoldGate } from '../relay/hold-gate';
import type { Left, Session, Task } from './holding';
import type { Ending } from './holdings';
import { readReply } from './read-reply';
import type { McpServer } from './mcp-server';

const AT_ONCE = 8;
const EACH_MS = 5_000;
/** Waiting; beyond it what comes is not ended, only counted: a server that takes nothing must not fill the memory. */
const MAX_WAITING = 10_000;

export interface LeavingsOptions {
  readonly upstream: string;
  readonly server: McpServer;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/**
 * Ends upstream what an agent has left there: `tasks/cancel` for each task, then DELETE for the session. As well as it
 * can be done: the server may be away, or not listen. Neither a receipt nor another agent waits for it.
 */
export class Leavings {
  private readonly waiting: (() => Promise<void>)[] = [];
  private running = 0;
  private serial = 0;
  private onIdle: (() => void)[] = [];
  private readonly stopped = new AbortController();

  constructor(private readonly options: LeavingsOptions) {}

  end(left: Left, ending: Ending): void {
    const { upstream, logger } = this.options;
    const [sessions, tasks] = [left.sessions.length, left.tasks.length];
    logger.info({ upstream, sessions, tasks, because: ending }, 'ending what an agent left open');
    for (const session of left.sessions) {
      const within = left.tasks.filter(({ sessionId }) => sessionId === session.id);
      this.enqueue(async () => {
        // In this order: without the session nobody could cancel them any more.
        await this.cancelAll(within);
        await this.delete(session);
      });
    }
    const ids = new Set(left.sessions.map(({ id }) => id));
    for (const task of left.tasks)
      if (task.sessionId === undefined || !ids.has(task.sessionId))
        this.enqueue(() => this.cancel(task));
  }

  /** Never rejects. */
  async cancelAll(tasks: readonly Task[]): Promise<void> {
    for (const task of tasks) await this.cancel(task);
  }

  /** Gives what waits and runs that many milliseconds. */
  async stop(withinMs: number): Promise<void> {
    if (this.running > 0) {
      const timer = setTimeout(() => this.stopped.abort(new Error('stopping')), withinMs);
      await new Promise<void>((resolve) => this.onIdle.push(resolve));
      clearTimeout(timer);
    }
    this.stopped.abort(new Error('stopping'));
  }

  private enqueue(work: () => Promise<void>): void {
    if (this.waiting.length >= MAX_WAITING) return this.options.metrics.leftOver('any', 'dropped');
    this.waiting.push(work);
    if (this.running >= AT_ONCE) return;
    this.running += 1;
    void this.work();
  }

  private async work(): Promise<void> {
    // Not in the turn of the kill: sockets are closed and the receipt is on its way first.
    await nextTurn();
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift())
      await next();
    this.running -= 1;
    if (this.running === 0) for (const resolve of this.onIdle.splice(0)) resolve();
  }

  private async cancel({ id: taskId, sessionId, revision }: Task): Promise<void> {
    this.serial += 1;
    const meta = { 'io.modelcontextprotocol/protocolVersion': revision };
    const body = {
      ...{ jsonrpc: '2.0', id: `sever-${this.serial}`, method: 'tasks/cancel' },
      params: { taskId, ...(revision === '2026-07-28' && { _meta: meta }) },
    };
    await this.attempt('task', async (request) => {
      const response = await this.options.server.send({
        ...request,
        method: 'POST',
        headers: {
          ...headersOf(sessionId, revision),
          'content-type': 'application/json',
          ...(revision === '2026-07-28' && { 'mcp-method': 'tasks/cancel', 'mcp-name': taskId }),
        },
        body: Buffer.from(JSON.stringify(body)),
      });
      return await readReply(response, body.id);
    });
  }

  private async delete({ id, revision }: Session): Promise<void> {
    await this.attempt('session', async (request) => {
      const { statusCode, body } = await this.options.server.send({
        ...request,
        method: 'DELETE',
        headers: headersOf(id, revision),
        body: undefined,
      });
      body.on('error', () => undefined).destroy();
      return statusCode < 300;
    });
  }

  private async attempt(
    what: 'task' | 'session',
    work: (request: { gate: HoldGate; signal: AbortSignal }) => Promise<boolean>,
  ): Promise<void> {
    const { metrics, logger, upstream } = this.options;
    const signal = AbortSignal.any([this.stopped.signal, AbortSignal.timeout(EACH_MS)]);
    try {
      const done = await work({ gate: OPEN, signal });
      metrics.leftOver(what, done ? 'ended' : 'refused');
    } catch (error) {
      metrics.leftOver(what, 'failed');
      logger.warn({ upstream, what, error: String(error) }, 'what an agent left open goes on');
    }
  }
}

/** It only stops things, so a lease that has run out does not hold it. */
const OPEN = new HoldGate({ held: false, onHold: () => undefined });

function headersOf(sessionId: string | undefined, revision: string | undefined) {
  return {
    accept: 'application/json, text/event-stream',
    'accept-encoding': 'identity',
    ...(sessionId !== undefined && { 'mcp-session-id': sessionId }),
    ...(revision !== undefined && { 'mcp-protocol-version': revision }),
  };
}
