import { createHash } from 'node:crypto';
import {
  isId,
  ProblemError,
  type IdKind,
  type KillRequest,
  type SubjectAsked,
  type SubjectRef,
} from '@sever/protocol';
import { READERS } from '../access/policy';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';

export type Action = 'kill' | 'complete';

/** An order as `sever_revoke` takes it. */
export interface Order {
  id: string;
  action: Action;
  subjects: SubjectRef[];
  only: boolean;
  reason: string;
  ticket: string | null;
  actor: { id: string; name: string; kind: string };
  caller: OrderCaller;
  idempotency: { principal_id: string; key: string; fingerprint: string } | null;
  audit_id: string;
}

/** Whose right the order rests on; checked inside the fenced transaction. */
export type OrderCaller =
  | { kind: 'operator' }
  | { kind: 'service'; service_id: string }
  | { kind: 'agent'; agent_id: string; subjects: string[]; generations: number[] };

const MAX_REASON_BYTES = 1_024;
/** What can be killed here, and the form of its id. */
const KINDS: Record<string, IdKind> = { agent: 'agent', credential: 'credential' };

export function callerOf(by: KeyPrincipal | AgentPrincipal): OrderCaller {
  if (by.kind === 'agent')
    return {
      kind: 'agent',
      agent_id: by.id,
      subjects: by.lineage.map(([subject]) => subject),
      generations: by.lineage.map(([, generation]) => generation),
    };
  // A key with a human role (or a playbook's) acts on the whole tenant; one that is only a service, on its own roots.
  return READERS.some((role) => by.roles.has(role))
    ? { kind: 'operator' }
    : { kind: 'service', service_id: by.id };
}

/** Checks what a kill names and says, before anything is touched. @throws ProblemError */
export function readKill(by: KeyPrincipal | AgentPrincipal, asked: KillRequest): SubjectRef[] {
  if (by.kind === 'agent' && by.toolsOnly)
    throw new ProblemError(
      'forbidden',
      "A token for tools only cannot kill; use the agent's own token.",
    );
  if (asked.expires_in !== undefined && asked.action !== 'suspend')
    throw new ProblemError(
      'unprocessable',
      'expires_in: a kill is final; only a suspension expires.',
    );
  refuseWhatIsNotServed(asked);
  readReason(asked.reason);
  const subjects = asked.subjects ?? (asked.subject ? [asked.subject] : []);
  return subjects.map(readSubject);
}

/** @throws ProblemError `bad_reason` */
export function readReason(reason: string): string {
  if (reason.trim() === '' || Buffer.byteLength(reason) > MAX_REASON_BYTES)
    throw new ProblemError(
      'bad_reason',
      'reason: say why in 1 to 1,024 bytes; auditors will read it.',
    );
  return reason;
}

function readSubject(asked: SubjectAsked): SubjectRef {
  const { kind } = asked;
  const id = 'id' in asked && typeof asked.id === 'string' ? asked.id : '';
  const idKind = KINDS[kind];
  if (idKind === undefined)
    throw new ProblemError(
      'bad_subject',
      `subject: this version kills ${Object.keys(KINDS).join(' and ')}, not ${JSON.stringify(kind.slice(0, 32))}.`,
    );
  if (!isId(idKind, id))
    throw new ProblemError('bad_request', `subject.id: not the form of an id of ${kind}.`);
  return { kind, id };
}

/** Said aloud rather than ignored: an order that is half obeyed is worse than one that is refused. */
function refuseWhatIsNotServed(asked: KillRequest): void {
  const unserved = (['expires_in', 'level', 'hold', 'if_plan_hash', 'max_agents'] as const).filter(
    (field) => asked[field] !== undefined,
  );
  if (asked.action === 'suspend') unserved.push('action' as never);
  if (asked.in_flight === 'drain') unserved.push('in_flight' as never);
  if (unserved.length > 0)
    throw new ProblemError(
      'unprocessable',
      `${unserved.join(', ')}: not served by this version; send a plain kill, which stops at once.`,
    );
}

/** @throws ProblemError `bad_request` */
export function readIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (!/^[\x20-\x7e]{1,255}$/.test(header))
    throw new ProblemError('bad_request', 'Idempotency-Key: 1 to 255 printable ASCII characters.');
  return header;
}

/** What makes two requests the same: method, path, and the body whatever the order of its keys. */
export function fingerprint(method: string, path: string, body: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([method, path, sorted(body)]))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}
