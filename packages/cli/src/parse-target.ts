import { ID_PREFIXES, isId, type IdKind, type SubjectRef } from '@sever/protocol';

/** Ids that name a subject by their prefix alone. */
const BY_PREFIX: readonly (readonly [IdKind, string])[] = [
  ['agent', 'agent'],
  ['credential', 'credential'],
  ['grant', 'grant'],
  ['task', 'task'],
  ['initiator', 'initiator'],
  ['tenant', 'tenant'],
  ['enforcementPoint', 'enforcement_point'],
  ['enrolmentKey', 'enrolment_key'],
];
/** Kinds that are written out: `label:team:red`, `tool:github/create_issue`. */
const BY_KIND = new Set([
  ...BY_PREFIX.map(([, kind]) => kind),
  'service',
  'label',
  'signing_key',
  'tool',
  'upstream',
  'ref',
  'trace',
]);

/**
 * What an operator typed → the subject of a kill: an id, `alice@example.com` (an initiator), or `kind:id`.
 *
 * @returns a sentence that says what is wrong when it is none of these
 */
export function parseTarget(text: string): SubjectRef | string {
  for (const [idKind, kind] of BY_PREFIX) {
    if (!text.startsWith(`${ID_PREFIXES[idKind]}_`)) continue;
    return isId(idKind, text)
      ? { kind, id: text }
      : `${JSON.stringify(text)} is not a whole ${kind} id: 26 characters follow ${ID_PREFIXES[idKind]}_`;
  }
  const [, kind, id] = /^([a-z_]+):(.+)$/s.exec(text) ?? [];
  if (kind !== undefined && id !== undefined && BY_KIND.has(kind)) return { kind, id };
  if (/^[^\s@]+@[^\s@]+$/.test(text)) return { kind: 'initiator', id: text };
  return (
    `${JSON.stringify(text)} names nothing that can be killed: give agt_…, crd_…, alice@example.com ` +
    `or kind:id. To look an agent up: sever find ${JSON.stringify(text)}`
  );
}
