export * from './types';
export { EnforcementPoint } from './enforcement-point';
export { EnrolmentRefusedError } from './enrol';
export type { Alarm } from './machine-events';
export type { Road } from './transport';
