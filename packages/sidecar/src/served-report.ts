import { EnrolmentRefusedError, type Logger } from '@sever/enforcement';
import { MAX_SERVED_TOOLS, type Serves } from '@sever/protocol';
import type { Enforcer } from './enforcer';
import type { Upstream } from './sidecar-file';

const LOOK_MS = 5_000;
const LONGEST_NAME = 256;

export interface ServedReportParts {
  readonly enforcer: Pick<Enforcer, 'serves' | 'state'>;
  readonly logger: Logger;
  readonly upstreams: () => readonly Upstream[];
  /** `<upstream>/<name>` of tools that servers have listed. */
  readonly tools: () => readonly string[];
  /** Milliseconds between two looks; default 5000. */
  readonly everyMs?: number;
}

/**
 * Tells the control plane what this sidecar stands before, whenever that has changed: so that people who suspend a tool are
 * shown the names that there are. Nothing is decided by it, so a report that fails is only sent again.
 */
export class ServedReport {
  private told: string | undefined;
  private readonly looking: NodeJS.Timeout;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly parts: ServedReportParts) {
    this.looking = setInterval(() => void this.look(), parts.everyMs ?? LOOK_MS).unref();
    void this.look();
  }

  /** Never rejects. */
  look(): Promise<void> {
    this.running = this.running.then(() => this.tell());
    return this.running;
  }

  async close(): Promise<void> {
    clearInterval(this.looking);
    await this.running;
  }

  private async tell(): Promise<void> {
    const { enforcer, logger } = this.parts;
    const serves = this.serves();
    const now = JSON.stringify(serves);
    if (now === this.told) return;
    try {
      await enforcer.serves(serves);
      this.told = now;
    } catch (error) {
      // Refused, by one that does not know the question yet: it would be refused again.
      if (error instanceof EnrolmentRefusedError) this.told = now;
      logger.warn({ error: String(error) }, 'could not tell the control plane what is served here');
    }
  }

  private serves(): Serves {
    const upstreams = this.parts.upstreams();
    const { mode } = this.parts.enforcer.state();
    const written = upstreams.flatMap(({ name, kind, tools = [] }) =>
      kind === 'mcp'
        ? tools.filter(({ match }) => !match.endsWith('*')).map(({ match }) => `${name}/${match}`)
        : [],
    );
    const tools = [...new Set([...written, ...this.parts.tools()])]
      .filter((tool) => tool.length <= LONGEST_NAME)
      .sort()
      .slice(0, MAX_SERVED_TOOLS);
    return {
      upstreams: upstreams.map(({ name, kind, mode: own }) => ({ name, kind, mode: own ?? mode })),
      tools,
    };
  }
}
