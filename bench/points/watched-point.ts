import { join } from 'node:path';
import { EnforcementPoint } from '@sever/enforcement';
import { monotonicMs } from '../measure/monotonic';
import { Inside } from './inside';

export interface PointAddress {
  readonly name: string;
  readonly url: string;
  readonly key: string;
  readonly folder: string;
}

/** What one enforcement point saw of one kill; moments on the shared clock, milliseconds. */
export interface Seen {
  readonly name: string;
  /** The message was handed to it. */
  readonly deliveredAt: number;
  /** The first decision that refuses was made. */
  readonly refusedAt: number;
  readonly code: string;
}

/** A real enforcement point, and a call in flight that tells of the moment at which it begins to refuse. */
export class WatchedPoint {
  readonly inside: Inside;
  private deliveredAt = NaN;

  private constructor(
    private readonly name: string,
    readonly point: EnforcementPoint,
  ) {
    this.inside = new Inside(point, () => (this.deliveredAt = monotonicMs()));
  }

  static async connect({ name, url, key, folder }: PointAddress): Promise<WatchedPoint> {
    const point = await EnforcementPoint.connect({
      ...{ name, url, enrolmentKey: key, keyDirectory: join(folder, 'points', name) },
      timeoutMs: 180_000,
    });
    return new WatchedPoint(name, point);
  }

  /**
   * Admits a call with the token. `seen` resolves once the call was cut and the same token, asked again in the same
   * synchronous step, was refused: so the moment is that of a decision, not that of a message.
   *
   * @throws Error when the call is not admitted to begin with
   */
  async watch(token: string): Promise<{ readonly seen: Promise<Seen> }> {
    const admission = await this.point.admit(token);
    if (admission.decision === 'deny') throw new Error(`${this.name} refuses a living agent`);
    const { call } = admission;
    const seen = new Promise<Seen>((resolve, reject) => {
      call.signal.addEventListener('abort', () => {
        const decision = this.point.check(token);
        const refusedAt = monotonicMs();
        const { deliveredAt, name } = this;
        call.finish();
        decision.then((made) => {
          if (made.decision === 'allow') reject(new Error(`${name} still allows a killed agent`));
          else resolve({ name, deliveredAt, refusedAt, code: made.code });
        }, reject);
      });
    });
    return { seen };
  }
}
