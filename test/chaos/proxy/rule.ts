import type { Randomness } from '../../model/randomness';
import type { Direction } from './chaos-proxy';
import { matches, withPayload, type Frame } from './nats-frames';

/** What happens to a message that a rule has chosen. */
export type Harm =
  | { readonly kind: 'drop' }
  /** It comes that many times in all. */
  | { readonly kind: 'duplicate'; readonly times: number }
  /** Later ones overtake it. */
  | { readonly kind: 'delay'; readonly fromMs: number; readonly toMs: number }
  /** That many are collected, or for that long, and come in another order. */
  | { readonly kind: 'reorder'; readonly count: number; readonly withinMs: number }
  /** The message ends early; the frame is whole. */
  | { readonly kind: 'truncate' }
  /** One byte is another. */
  | { readonly kind: 'corrupt' };

export interface Rule {
  /** NATS subject pattern. */
  readonly subject: string;
  readonly direction: Direction;
  /** Name in the client's CONNECT; default: everybody. */
  readonly client?: string;
  /** Of the messages that match, 0 to 1; default all. */
  readonly share?: number;
  readonly harm: Harm;
}

type Send = (frame: Frame) => void;

/** A rule at work on one connection. */
export class RuleAtWork {
  private held: Frame[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(
    readonly rule: Rule,
    private readonly random: Randomness,
  ) {}

  concerns(direction: Direction, client: string, { subject, payload }: Frame): boolean {
    const { rule } = this;
    return (
      payload !== undefined &&
      direction === rule.direction &&
      (rule.client === undefined || rule.client === client) &&
      matches(rule.subject, subject ?? '') &&
      this.random.chance(rule.share ?? 1)
    );
  }

  apply(frame: Frame, send: Send): void {
    const { harm } = this.rule;
    const payload = frame.payload ?? Buffer.alloc(0);
    switch (harm.kind) {
      case 'drop':
        return;
      case 'duplicate':
        for (let time = 0; time < harm.times; time += 1) send(frame);
        return;
      case 'delay':
        setTimeout(() => send(frame), this.random.between(harm.fromMs, harm.toMs));
        return;
      case 'reorder':
        return this.hold(frame, harm, send);
      case 'truncate':
        return send(withPayload(frame, payload.subarray(0, this.index(payload.length))));
      case 'corrupt': {
        const changed = Buffer.from(payload);
        const at = this.index(changed.length);
        if (changed.length > 0) changed[at] = (changed[at] ?? 0) ^ (1 + this.index(255));
        return send(withPayload(frame, changed));
      }
    }
  }

  private hold(frame: Frame, { count, withinMs }: { count: number; withinMs: number }, send: Send) {
    this.held.push(frame);
    const release = (): void => {
      clearTimeout(this.timer);
      this.timer = undefined;
      for (const one of this.shuffled(this.held.splice(0))) send(one);
    };
    if (this.held.length >= count) release();
    else this.timer ??= setTimeout(release, withinMs);
  }

  private shuffled(frames: Frame[]): Frame[] {
    for (let at = frames.length - 1; at > 0; at -= 1) {
      const other = this.index(at + 1);
      [frames[at], frames[other]] = [frames[other] as Frame, frames[at] as Frame];
    }
    return frames;
  }

  private index(length: number): number {
    return Math.floor(this.random.next() * length);
  }
}
