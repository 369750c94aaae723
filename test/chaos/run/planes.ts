import { join } from 'node:path';
import { freePort } from '../../../src/embedded/ports';
import { Child } from './child';

/** One replica of the control plane: a process at a port that stays the same over its restarts. */
export interface Plane {
  readonly name: string;
  readonly port: number;
  readonly url: string;
  child: Child | null;
  /** It does not answer, and will not until something is done. */
  isFrozen: boolean;
}

const STARTS = 6;

/** The replicas, as real processes that can die in any way. */
export class Planes {
  readonly all: Plane[] = [];

  constructor(
    private readonly folder: string,
    private readonly environment: Readonly<Record<string, string>>,
    private readonly onDeath: (why: string) => void,
  ) {}

  async add(): Promise<Plane> {
    const port = await freePort();
    const plane: Plane = {
      name: `plane ${this.all.length + 1}`,
      port,
      url: `http://127.0.0.1:${port}`,
      child: null,
      isFrozen: false,
    };
    this.all.push(plane);
    await this.start(plane);
    return plane;
  }

  /** As a supervisor would: one that cannot start, because Postgres or the broker is away, is started again. */
  async start(plane: Plane): Promise<void> {
    for (let attempt = 1; ; attempt += 1)
      try {
        plane.child = await this.launch(plane, '');
        return;
      } catch (error) {
        if (attempt === STARTS) throw error;
      }
  }

  async restart(plane: Plane): Promise<void> {
    await plane.child?.stop();
    await this.start(plane);
  }

  /** Started again with something in it that will end it: perhaps at once, if work waits that leads there. */
  async restartDoomed(plane: Plane, failpoints: string): Promise<void> {
    await plane.child?.stop();
    plane.child = await this.launch(plane, failpoints).catch(() => null);
    plane.child?.expectDeath();
  }

  /** Those that can be expected to answer. */
  get living(): Plane[] {
    return this.all.filter(({ child, isFrozen }) => child?.isRunning === true && !isFrozen);
  }

  readonly ports = (): number[] => this.living.map(({ port }) => port);

  async stop(): Promise<void> {
    await Promise.all(this.all.map(async ({ child }) => await child?.stop()));
  }

  private async launch(plane: Plane, failpoints: string): Promise<Child> {
    return await Child.start(
      {
        name: plane.name,
        args: [join('dist', 'main.js')],
        env: {
          ...this.environment,
          SEVER_PORT: String(plane.port),
          SEVER_DATA_DIR: join(this.folder, plane.name.replace(' ', '-')),
          SEVER_FAILPOINTS: failpoints,
        },
        ready: /sever: listening on (http:\S+)/,
      },
      this.onDeath,
    );
  }
}
