import type { Born, Refused } from '../../../support/sql-tenant';
import { eventually } from '../../../support/eventually';
import type { Scene } from './scene';

/** Gave way to an order that waits: as the API does, it just asks again. */
const GAVE_WAY = '55P03';

/** Spawns and mints over several connections until it is told to go: every way in which something is born. */
export class Crowd {
  private readonly tokens: Born[];
  /** Those that carry the subject: what the race is about. */
  private readonly touched: Born[];
  private readonly agents: Born[];
  private readonly workers: Promise<void>[];
  private going = true;
  private issued = 0;
  private refusals = 0;
  /** Refusals of the twin, which nobody has stopped. */
  readonly wronged: Refused[] = [];

  constructor(
    private readonly scene: Scene,
    connections: number,
  ) {
    this.tokens = [scene.root];
    this.touched = [scene.root];
    this.agents = [scene.root];
    const twin = this.work(() => this.askForTwin());
    this.workers = [
      twin,
      ...Array.from({ length: connections - 1 }, () => this.work(() => this.ask())),
    ];
  }

  /** Until it has been given something so many times more. */
  async busy(times: number): Promise<void> {
    const enough = this.issued + times;
    await this.until(() => this.issued >= enough);
  }

  /** Until it has been refused so many times more. */
  async refused(times: number): Promise<void> {
    const enough = this.refusals + times;
    await this.until(() => this.refusals >= enough);
  }

  async leave(): Promise<void> {
    this.going = false;
    await Promise.all(this.workers);
  }

  private async work(ask: () => Promise<void>): Promise<void> {
    while (this.going) {
      try {
        await ask();
      } catch (error) {
        if ((error as { code?: string }).code !== GAVE_WAY) throw error;
      }
    }
  }

  private async ask(): Promise<void> {
    const { tenant, options } = this.scene;
    const by = pick(Math.random() < 0.6 ? this.touched : this.tokens);
    const choice = Math.random();
    if (choice < 0.1) return this.note(await tenant.spawn(null, options));
    if (by === undefined || choice < 0.25)
      return this.note(await tenant.mint(this.anAgent(), null, options.service));
    const answer = await (choice < 0.65 ? tenant.spawn(by) : tenant.mint(by));
    this.note(answer, by);
  }

  private note(answer: Born | Refused, by?: Born): void {
    if ('problem' in answer) {
      this.refusals += 1;
      // What a kill has reached never comes back; what is suspended may.
      if (by && answer.problem === 'ancestor_revoked' && by !== this.scene.root)
        for (const list of [this.tokens, this.touched]) remove(list, by);
      return;
    }
    this.issued += 1;
    this.tokens.push(answer);
    if (answer.lineage.some(([subject]) => subject === this.scene.wire)) this.touched.push(answer);
    this.agents.push(answer);
  }

  private anAgent(): Born {
    return Math.random() < 0.5 ? this.scene.root : (pick(this.agents) as Born);
  }

  private async askForTwin(): Promise<void> {
    const { tenant, root } = this.scene.twin;
    const answer = await (Math.random() < 0.5 ? tenant.spawn(root) : tenant.mint(root));
    if ('problem' in answer) this.wronged.push(answer);
  }

  private until(reached: () => boolean): Promise<void> {
    return eventually(
      () => {
        if (!reached()) throw new Error(`issued ${this.issued}, refused ${this.refusals}`);
      },
      { timeoutMs: 20_000, everyMs: 1 },
    );
  }
}

function remove<T>(list: T[], item: T): void {
  const at = list.indexOf(item);
  if (at !== -1) list.splice(at, 1);
}

function pick<T>(from: readonly T[]): T | undefined {
  return from[Math.floor(Math.random() * from.length)];
}
