import { Subject } from 'rxjs';

/** A receipt was verified and stored: this process of an enforcement point has come that far. */
export interface ReceiptApplied {
  readonly tenant: string;
  readonly epId: string;
  readonly bootId: string;
  readonly epoch: number;
  readonly applied: number;
  /** Entries that it could not apply. */
  readonly nacks: readonly { readonly seq: number; readonly error: string }[];
  /** Kills of which it reports calls in flight. */
  readonly killIds: readonly string[];
}

/** Kill orders that an enforcement point took without us, as it shows them; nobody has verified them yet. */
export interface HaltsReported {
  readonly tenant: string;
  readonly epId: string;
  readonly halts: readonly string[];
}

export interface BootChange {
  readonly tenant: string;
  readonly epId: string;
  readonly bootId: string;
  /** `left`: it signed that it refuses everything, or its successor proved that it is gone. */
  readonly change: 'entered' | 'left' | 'retired';
}

/** Somebody should look: an enforcement point and the control plane do not agree, somebody pretends, or a halt was used. */
export interface EnforcementAlarm {
  readonly kind:
    | 'divergence'
    | 'receipt_over_head'
    | 'bad_signature'
    | 'halt_used'
    | 'halt_refused'
    | 'calls_stopped';
  readonly tenant: string;
  readonly epId: string;
  readonly detail: string;
}

/** What happens to enforcement points in this process, for whoever waits for it or shows it. */
export class EnforcementEvents {
  readonly receipts = new Subject<ReceiptApplied>();
  readonly halts = new Subject<HaltsReported>();
  readonly boots = new Subject<BootChange>();
  readonly alarms = new Subject<EnforcementAlarm>();
}
