import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/embedded/ports';
import { Child } from '../chaos/run/child';
import { eventually } from '../support/eventually';

const STARTS = 8;

/** One control plane as a process of its own, at one port for all its lives, whose failpoints are armed while it runs. */
export class PlaneProcess {
  private child: Child | undefined;
  private readonly failpointFile: string;

  private constructor(
    private readonly folder: string,
    private readonly environment: Readonly<Record<string, string>>,
    private readonly port: number,
  ) {
    this.failpointFile = join(folder, 'failpoints');
    this.disarm();
  }

  static async start(
    folder: string,
    environment: Readonly<Record<string, string>>,
  ): Promise<PlaneProcess> {
    const plane = new PlaneProcess(folder, environment, await freePort());
    await plane.ensureRunning();
    return plane;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get isRunning(): boolean {
    return this.child?.isRunning === true;
  }

  /** As a supervisor would: one that cannot start, because its database is not back yet, is started again. */
  async ensureRunning(): Promise<void> {
    for (let attempt = 1; !this.isRunning; attempt += 1)
      try {
        this.child = await this.launch();
        this.child.expectDeath();
      } catch (error) {
        if (attempt === STARTS) throw error;
      }
  }

  arm(failpoint: string, action: string): void {
    rmSync(`${this.failpointFile}.hits`, { force: true });
    writeFileSync(this.failpointFile, `${failpoint}=${action}`);
  }

  disarm(): void {
    writeFileSync(this.failpointFile, '');
  }

  /** @throws Error when nobody comes by: the trial would show nothing */
  async untilHit(): Promise<void> {
    await eventually(() => readFileSync(`${this.failpointFile}.hits`), { timeoutMs: 20_000 });
  }

  async untilDead(): Promise<void> {
    await eventually(
      () => {
        if (this.isRunning) throw new Error('the control plane lives');
      },
      { timeoutMs: 20_000 },
    );
  }

  /**
   * It notes a hit just before it stands still, so a single thaw could come in between and be lost. Once it answers what was
   * asked after the hit, it has stood still and goes on.
   */
  async thaw(): Promise<void> {
    const again = setInterval(() => this.child?.signal('SIGCONT'), 50);
    try {
      await eventually(() => fetch(`${this.url}/healthz`, { signal: AbortSignal.timeout(2_000) }), {
        timeoutMs: 20_000,
      });
    } finally {
      clearInterval(again);
    }
  }

  async kill(): Promise<void> {
    await this.child?.kill();
  }

  private launch(): Promise<Child> {
    return Child.start(
      {
        name: 'the control plane',
        args: [join('dist', 'main.js')],
        env: {
          SEVER_ENV: 'test',
          SEVER_PORT: String(this.port),
          SEVER_DATA_DIR: join(this.folder, 'data'),
          SEVER_FAILPOINTS: `@${this.failpointFile}`,
          ...this.environment,
        },
        ready: /sever: listening on (http:\S+)/,
      },
      () => undefined,
    );
  }
}
