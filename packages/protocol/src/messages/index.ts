export * from './common';
export * from './entry';
export * from './pulse';
export * from './snapshot';
export * from './range';
export * from './lease';
export * from './receipt';
export * from './enrolment';
