export { boundaryName, KIND_PREFIX, type Called } from './called';
export { calledBy, type CalledBy } from './called-by';
export {
  entryOf,
  LIST_KEYS,
  LISTS,
  listOf,
  scopesForTemplate,
  type ListEntry,
  type ListKey,
} from './lists';
export { MAX_URI_LENGTH, uriFault } from './resource-uri';
