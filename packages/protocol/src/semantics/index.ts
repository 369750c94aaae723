export * from './containment';
export * from './denial-view';
export * from './level';
export * from './lineage';
export * from './position';
export * from './scope';
export * from './subject';
export * from './duration';
