import type {
  Admission,
  Alarm,
  CallContext,
  Decision,
  EnforcementState,
  HaltOutcome,
  InFlightCall,
} from '@sever/enforcement';

/**
 * What the sidecar needs of an enforcement point. `EnforcementPoint` of `@sever/enforcement` is the one that runs;
 * the port is this narrow so that the proxy can be driven call by call.
 */
export interface Enforcer {
  check(token: string, context: CallContext): Promise<Decision>;
  admit(token: string, context: CallContext): Promise<Admission>;
  /** Takes a kill order signed by a halt key. */
  halt(jws: string): Promise<HaltOutcome>;
  state(): EnforcementState;
  onAlarm(listener: (alarm: Alarm) => void): unknown;
  close(): Promise<void>;
}

export type { Admission, CallContext, Decision, EnforcementState, HaltOutcome, InFlightCall };
