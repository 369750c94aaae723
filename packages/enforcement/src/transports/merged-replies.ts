import type { SnapshotReplies } from '../transport';
import { MessageQueue } from './message-queue';

const LONGEST_WAIT_MS = 30_000;

/** Answers to one snapshot request by several roads, in the order in which they come. It fails when the last road does. */
export class MergedReplies implements SnapshotReplies {
  private readonly queue = new MessageQueue<Uint8Array>();
  private readonly roads = new Set<SnapshotReplies>();
  private closed = false;
  /** Something has come by any road. */
  began = false;

  /** @param mayFollow another road may be taken later: the failure of this one is not yet that of all */
  async take(request: () => SnapshotReplies, mayFollow = false): Promise<void> {
    if (this.closed) return;
    let road: SnapshotReplies | null = null;
    try {
      road = request();
      this.roads.add(road);
      for (;;) {
        const bytes = await road.next(LONGEST_WAIT_MS);
        this.began = true;
        this.queue.push(bytes);
      }
    } catch (error) {
      if (road !== null) this.roads.delete(road);
      road?.close();
      if (this.roads.size === 0 && (!mayFollow || this.began)) this.queue.fail(error as Error);
    }
  }

  next(timeoutMs: number): Promise<Uint8Array> {
    return this.queue.next(timeoutMs);
  }

  close(): void {
    this.closed = true;
    for (const road of this.roads) road.close();
    this.roads.clear();
  }
}
