export { entryOf, LIST_KEYS, listOf, type ListEntry as Entry, type ListKey } from '@sever/protocol';
