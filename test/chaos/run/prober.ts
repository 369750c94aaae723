import { setTimeout as delay } from 'node:timers/promises';
import type { Randomness } from '../../model/randomness';
import type { History } from '../history/history';
import type { Point } from './points';
import type { Population } from './population';
import { now } from './tap';

const EVERY_MS = 25;

/** Asks one enforcement point, again and again, how far it is and whether it would admit this or that. */
export class Prober {
  /** The latest boot that it has said it is. */
  boot = '';
  private stopped = false;

  constructor(
    private readonly point: Point,
    private readonly population: Population,
    private readonly history: History,
    private readonly random: Randomness,
  ) {}

  async run(): Promise<void> {
    while (!this.stopped) {
      // One that is being killed or restarted does not answer; that is no decision.
      await this.ask().catch(() => delay(50));
      await delay(EVERY_MS);
    }
  }

  stop(): void {
    this.stopped = true;
  }

  private async ask(): Promise<void> {
    const { id: point, mode } = this.point;
    const asked = now();
    const { boot, position } = await this.point.show();
    this.history.add({ kind: 'apply', at: asked, until: now(), point, boot, position });
    this.boot = boot;
    const credential = this.population.pick(this.random);
    if (credential === undefined || credential.expiresAt < Date.now()) return;
    const at = now();
    const { allowed, stale, code } = await this.point.check(credential.token);
    const until = now();
    // A process that came in between would be taken for the one before.
    if ((await this.point.show()).boot !== boot) return;
    this.history.add({
      ...{ at, until, point, boot, mode, stale, credential: credential.id },
      kind: allowed ? 'admit' : 'deny',
      ...(code !== undefined && { code }),
    });
  }
}
