import { typeid, TypeID } from 'typeid-js';

/** Prefixes of ids. An id is a TypeID: the prefix, `_`, and a UUIDv7 in lower-case base32 (26 characters). */
export const ID_PREFIXES = {
  agent: 'agt',
  credential: 'crd',
  grant: 'grt',
  task: 'tsk',
  initiator: 'ini',
  principal: 'prn',
  kill: 'kil',
  enforcementPoint: 'enf',
  enrolmentKey: 'enr',
  secret: 'sec',
  apiKey: 'key',
  connector: 'con',
  tenant: 'ten',
  audit: 'aud',
  boot: 'bot',
  haltKey: 'hlt',
  drill: 'drl',
  call: 'cal',
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

/** A new id, ordered by time of creation. */
export function newId(kind: IdKind): string {
  return typeid(ID_PREFIXES[kind]).toString();
}

/** Is this the canonical form of an id of that kind? Only canonical ids are accepted, because they become NATS tokens. */
export function isId(kind: IdKind, text: string): boolean {
  return idPattern(kind).test(text);
}

const patterns = new Map<IdKind, RegExp>();

export function idPattern(kind: IdKind): RegExp {
  let pattern = patterns.get(kind);
  if (pattern === undefined) {
    pattern = new RegExp(`^${ID_PREFIXES[kind]}_[0-7][0-9a-hjkmnp-tv-z]{25}$`);
    patterns.set(kind, pattern);
  }
  return pattern;
}

/** The UUID in an id, for tools that want one. */
export function uuidOf(id: string): string {
  return TypeID.fromString(id).toUUID();
}
