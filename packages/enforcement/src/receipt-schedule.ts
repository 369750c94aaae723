/**
 * When the next receipt leaves. Receipts compete with delivery for the same broker, so each waits a random moment
 * within the window that the pulse announces; they are cumulative, and at most one leaves in a window.
 */
export class ReceiptSchedule {
  windowMs = 0;
  dueAt: number | null = null;
  /** Monotonic moment at which the newest entry or snapshot was applied. */
  appliedAt: number | null = null;
  private sentAt = -Infinity;

  constructor(private readonly random: () => number) {}

  applied(mono: number): void {
    this.appliedAt = mono;
    this.schedule(mono);
  }

  schedule(mono: number): void {
    this.dueAt ??= Math.max(mono + this.random() * this.windowMs, this.sentAt + this.windowMs);
  }

  sent(mono: number): void {
    this.dueAt = null;
    this.sentAt = mono;
  }
}
