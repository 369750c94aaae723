/**
 * Subjects: anything that can be revoked. A subject is written `kind:id` and split at the first colon, so an id may
 * hold colons itself (a label's id is `k:v`).
 */

/** Issued by Sever: these can be killed (for good) or suspended (until lifted). */
export const KILLABLE_KINDS = [
  'agent',
  'credential',
  'grant',
  'task',
  'initiator',
  'service',
  'label',
  'tenant',
  'signing_key',
  'enforcement_point',
  'enrolment_key',
] as const;

/** Not issued by Sever: these can only be suspended. */
export const SUSPENDABLE_ONLY_KINDS = ['tool', 'upstream'] as const;

/**
 * `family` never appears in a request: it names the first credential of a minting chain, and killing a credential
 * raises the floor of its family.
 */
export const WIRE_KINDS = [...KILLABLE_KINDS, ...SUSPENDABLE_ONLY_KINDS, 'family'] as const;

export type KillableKind = (typeof KILLABLE_KINDS)[number];
export type SubjectKind = (typeof WIRE_KINDS)[number];
export type Subject = `${SubjectKind}:${string}`;

const KINDS: ReadonlySet<string> = new Set(WIRE_KINDS);

/** The longest subject that is accepted anywhere, in characters. */
export const MAX_SUBJECT_LENGTH = 320;

export function subjectOf<K extends SubjectKind>(kind: K, id: string): `${K}:${string}` {
  return `${kind}:${id}`;
}

/** Splits at the first colon; `null` when the kind is not a known one or the id is empty or too long. */
export function parseSubject(text: string): { kind: SubjectKind; id: string } | null {
  const colon = text.indexOf(':');
  if (colon < 1 || colon === text.length - 1 || text.length > MAX_SUBJECT_LENGTH) return null;
  const kind = text.slice(0, colon);
  return KINDS.has(kind) ? { kind: kind as SubjectKind, id: text.slice(colon + 1) } : null;
}
