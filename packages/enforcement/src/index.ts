export * from './types';
export { bearerToken } from './bearer-token';
export { recordCall, type EndedCall } from './calls/record-call';
export { EnforcementPoint } from './enforcement-point';
export { EnrolmentRefusedError } from './enrol';
export type { Alarm } from './machine-events';
export { onCut } from './on-cut';
export { NO_TOKEN, refusal, refusalOf, type Refusal } from './refusal';
export type { Road } from './transport';
