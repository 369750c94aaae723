import { MAX_REPORTED_HALTS } from '@sever/protocol';
import type { EmergencyBook } from './emergency-book';

/** Which halts the next receipt carries: as many as fit, and those that did not the next time. */
export class HaltReports {
  private turn = 0;

  constructor(private readonly book: EmergencyBook) {}

  next(): string[] {
    const waiting = [...this.book.unreported()];
    if (waiting.length <= MAX_REPORTED_HALTS) return waiting;
    const from = this.turn % waiting.length;
    this.turn = from + MAX_REPORTED_HALTS;
    return [...waiting.slice(from), ...waiting.slice(0, from)].slice(0, MAX_REPORTED_HALTS);
  }
}
