interface Due {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** True time of a run, in milliseconds. It moves only from one thing that is due to the next. */
export class VirtualTime {
  now = 0;
  private readonly heap: Due[] = [];
  private scheduled = 0;

  after(milliseconds: number, run: () => void): void {
    this.scheduled += 1;
    this.push({ at: this.now + Math.max(0, milliseconds), order: this.scheduled, run });
  }

  /** Runs everything that falls due, and has `look` called after each. */
  pass(milliseconds: number, look: () => void): void {
    const until = this.now + milliseconds;
    for (let next = this.heap[0]; next !== undefined && next.at <= until; next = this.heap[0]) {
      this.pop();
      this.now = next.at;
      next.run();
      look();
    }
    this.now = until;
  }

  private push(due: Due): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(due);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(due, heap[parent] as Due)) break;
      heap[at] = heap[parent] as Due;
      at = parent;
    }
    heap[at] = due;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Due;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Due, heap[child] as Due))
        child += 1;
      if (!isBefore(heap[child] as Due, last)) break;
      heap[at] = heap[child] as Due;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
