import { setTimeout as delay } from 'node:timers/promises';
import type { Fleet } from '../points/fleet';
import { HttpRoad } from '../stage/api';
import { Child } from '../stage/processes';
import type { Stage } from '../stage/stage';

const LOOK_MS = 5;
const GIVE_UP_MS = 120_000;

/** Each step of a kill, done by the barest program. One call is one measurement, in milliseconds. */
export class Floors {
  private number = 0;

  private constructor(
    private readonly child: Child,
    private readonly road: HttpRoad,
    readonly publicKey: string,
    /** Size of the messages that are published. */
    public messageBytes = 600,
  ) {}

  static async start({ databaseUrl, broker }: Stage): Promise<Floors> {
    const child = Child.start('bench/floors/bare-server.ts');
    const { url, publicKey } = await child.ask<{ url: string; publicKey: string }>('listen', {
      ...{ databaseUrl, broker },
    });
    return new Floors(child, new HttpRoad(url), publicKey);
  }

  /** A round trip to a handler that does nothing. */
  async http(): Promise<number> {
    const { sentAt, answeredAt } = await this.post('/http', 0);
    return answeredAt - sentAt;
  }

  /** One row, one durable commit, seen from the process that asks the database. */
  async commit(): Promise<number> {
    return (await this.post<{ ms: number }>('/commit', 0)).body.ms;
  }

  /** From the publication to the last subscriber; signed: each has verified it. */
  async fanOut(fleet: Fleet, signed: boolean): Promise<number> {
    const number = ++this.number;
    const path = signed ? '/publish-signed' : '/publish';
    const { body } = await this.post<{ at: number }>(path, number);
    return (await this.lastOf(fleet, number)) - body.at;
  }

  /** From the request to the last subscriber: a commit and a publication in a bare handler, each subscriber verifies. */
  async everything(fleet: Fleet): Promise<number> {
    const number = ++this.number;
    const { sentAt } = await this.post('/everything', number);
    return (await this.lastOf(fleet, number)) - sentAt;
  }

  /** One after the other on one connection. */
  async commitsPerSecond(count: number): Promise<number> {
    return (await this.post<{ rate: number }>('/commits', count)).body.rate;
  }

  /** One message for each kill, verified by each subscriber and answered at once: last sent → last verified. */
  async naiveBurst(fleet: Fleet, count: number): Promise<number> {
    const first = this.number + 1;
    this.number += count;
    const { body } = await this.post<{ at: number }>('/burst', first, { count });
    return (await this.lastOf(fleet, this.number)) - body.at;
  }

  async stop(): Promise<void> {
    this.road.close();
    await this.child.stop();
  }

  private post<T>(path: string, number: number, more: object = {}) {
    const reason = 'measured by a benchmark';
    return this.road.exchange<T>('POST', path, {
      number,
      bytes: this.messageBytes,
      reason,
      ...more,
    });
  }

  /** Asked for once it is over: asking meanwhile would take part in it. */
  private async lastOf(fleet: Fleet, number: number): Promise<number> {
    for (let waited = 0; waited < GIVE_UP_MS; waited += LOOK_MS) {
      await delay(waited === 0 ? 10 * LOOK_MS : LOOK_MS);
      const at = await fleet.lastBare(number);
      if (at !== null) return at;
    }
    throw new Error('a message of a floor did not reach every subscriber');
  }
}
