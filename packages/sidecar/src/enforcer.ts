import type {
  Admission,
  Alarm,
  CallContext,
  Decision,
  EnforcementState,
  HaltOutcome,
  InFlightCall,
  SeenCall,
} from '@sever/enforcement';
import type { Serves } from '@sever/protocol';

/**
 * What the sidecar needs of an enforcement point. `EnforcementPoint` of `@sever/enforcement` is the one that runs;
 * the port is this narrow so that the proxy can be driven call by call.
 */
export interface Enforcer {
  check(token: string, context: CallContext): Promise<Decision>;
  /** @param kind `let_through`: somebody else carries the call out, so a kill can only count it; default `relayed` */
  admit(token: string, context: CallContext, kind?: 'relayed' | 'let_through'): Promise<Admission>;
  /** Takes a kill order signed by a halt key. */
  halt(jws: string): Promise<HaltOutcome>;
  /** Takes the record of a call that is over, and returns at once. */
  record(call: SeenCall): void;
  /** The database's clock as far as it is known, milliseconds since the Unix epoch. */
  now(): number;
  /** Tells the control plane what is served here. */
  serves(serves: Serves): Promise<void>;
  state(): EnforcementState;
  onAlarm(listener: (alarm: Alarm) => void): unknown;
  close(): Promise<void>;
}

export type { Admission, CallContext, Decision, EnforcementState, HaltOutcome, InFlightCall };
