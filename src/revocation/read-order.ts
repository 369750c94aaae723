import {
  isId,
  KILLABLE_KINDS,
  LEVELS,
  levelText,
  parseDuration,
  parseLevel,
  ProblemError,
  SUSPENDABLE_ONLY_KINDS,
  type IdKind,
  type KillRequest,
  type LevelAsked,
  type SubjectAsked,
} from '@sever/protocol';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import type { Order } from './order';

const MAX_REASON_BYTES = 1_024;
const DAY_MS = 86_400_000;
/** A suspension that outlives a year is a kill that nobody dared to give. */
const MAX_SUSPENSION_MS = 366 * DAY_MS;
const MAX_HOLD_MS = 30 * DAY_MS;

/** Kinds whose ids are ours, and so have one form. */
const ID_KINDS: Readonly<Record<string, IdKind>> = {
  agent: 'agent',
  credential: 'credential',
  grant: 'grant',
  task: 'task',
  service: 'principal',
  tenant: 'tenant',
  enforcement_point: 'enforcementPoint',
  enrolment_key: 'enrolmentKey',
};
/** Kinds whose ids come from elsewhere. An initiator may be named by its id or by what the identity provider calls it. */
const ID_FORMS: Readonly<Record<string, { form: RegExp; say: string }>> = {
  initiator: { form: /^\P{Cc}{1,256}$/u, say: 'an ini_… id, or the subject of a human' },
  label: { form: /^[A-Za-z0-9_.-]{1,64}:[\x21-\x7e]{1,128}$/, say: 'a label as key:value' },
  ref: { form: /^[A-Za-z0-9_.-]{1,64}:[\x21-\x7e]{1,128}$/, say: 'a ref as key:value' },
  trace: { form: /^(?!0{32})[0-9a-f]{32}$/, say: 'a trace id of 32 lower-case hex digits' },
  signing_key: { form: /^[A-Za-z0-9_-]{43}$/, say: 'the kid of a signing key' },
  tool: { form: /^[a-z0-9-]{1,32}\/[\x21-\x7e]{1,200}$/, say: 'a tool as <upstream>/<name>' },
  upstream: { form: /^[a-z0-9-]{1,32}$/, say: 'the name of an upstream' },
};
const EVERY_KIND = [...KILLABLE_KINDS, ...SUSPENDABLE_ONLY_KINDS, 'token', 'ref', 'trace'];

/** What a kill or suspension says, beside whom it names. */
export type ReadOrder = Pick<
  Order,
  'level' | 'in_flight' | 'expires_ms' | 'hold_ms' | 'if_plan_hash' | 'max_agents'
> & { action: 'kill' | 'suspend'; only: boolean; asked: SubjectAsked[] };

/** Checks what an order names and says, before anything is touched. @throws ProblemError */
export function readOrder(by: KeyPrincipal | AgentPrincipal, asked: KillRequest): ReadOrder {
  if (by.kind === 'agent' && by.toolsOnly)
    throw new ProblemError(
      'forbidden',
      "A token for tools only cannot kill; use the agent's own token.",
    );
  const action = asked.action ?? 'kill';
  readReason(asked.reason);
  if (action === 'kill') refuseWhatOnlySuspends(asked);
  else if (asked.hold !== undefined)
    throw new ProblemError(
      'unprocessable',
      'hold: goes with a kill; while a suspension of the initiator stands, no new root starts either.',
    );
  const subjects = asked.subjects ?? (asked.subject ? [asked.subject] : []);
  for (const subject of subjects) readSubject(subject, action);
  return {
    action,
    asked: subjects,
    only: asked.only ?? false,
    ...readTerms(asked),
    ...(asked.if_plan_hash !== undefined && { if_plan_hash: asked.if_plan_hash }),
    ...(asked.max_agents !== undefined && { max_agents: asked.max_agents }),
  };
}

function readTerms(asked: KillRequest): Partial<ReadOrder> {
  return {
    ...(asked.level !== undefined && { level: readLevel(asked.level) }),
    ...(asked.in_flight !== undefined && { in_flight: asked.in_flight }),
    ...(asked.expires_in !== undefined && {
      expires_ms: readTime('expires_in', asked.expires_in, MAX_SUSPENSION_MS),
    }),
    ...(asked.hold !== undefined && { hold_ms: readTime('hold', asked.hold, MAX_HOLD_MS) }),
  };
}

/** As it is stored and sent. @throws ProblemError `bad_level` */
function readLevel(asked: LevelAsked): string {
  const text = typeof asked === 'string' ? asked : `deny_tools:[${asked.deny_tools.join(',')}]`;
  const level = parseLevel(text);
  if (level === null)
    throw new ProblemError(
      'bad_level',
      `level: one of ${LEVELS.join(', ')} (1 to 32 tools, together at most 512 characters, * only at the end of a name), ` +
        `not ${JSON.stringify(text.slice(0, 64))}.`,
    );
  return levelText(level);
}

function refuseWhatOnlySuspends({ expires_in, level }: KillRequest): void {
  if (expires_in !== undefined)
    throw new ProblemError(
      'unprocessable',
      'expires_in: a kill is final; only a suspension expires.',
    );
  if (level !== undefined)
    throw new ProblemError(
      'bad_level',
      'level: a kill takes everything; only a suspension has one.',
    );
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

/** @throws ProblemError `bad_subject` for a kind that cannot be meant, `bad_request` for a bad form of id */
export function readSubject(asked: SubjectAsked, action: 'kill' | 'suspend'): void {
  const { kind } = asked;
  if (!EVERY_KIND.includes(kind))
    throw new ProblemError(
      'bad_subject',
      `subject.kind: one of ${EVERY_KIND.join(', ')}, not ${JSON.stringify(kind.slice(0, 32))}.`,
    );
  if (action === 'kill' && (SUSPENDABLE_ONLY_KINDS as readonly string[]).includes(kind))
    throw new ProblemError(
      'bad_subject',
      `subject: a ${kind} is not issued by this control plane and can only be suspended; send action "suspend".`,
    );
  const id = 'id' in asked ? asked.id : undefined;
  if (typeof id !== 'string') {
    if (kind === 'token' ? !('token' in asked) : kind !== 'initiator')
      throw new ProblemError('bad_request', `subject.id: missing for a ${kind}.`);
    return;
  }
  if (kind === 'token')
    throw new ProblemError(
      'bad_request',
      'subject: name a token as {"kind": "token", "token": …}.',
    );
  const idKind = ID_KINDS[kind];
  const other = ID_FORMS[kind];
  if (idKind !== undefined && !isId(idKind, id))
    throw new ProblemError('bad_request', `subject.id: not the form of an id of ${kind}.`);
  if (other !== undefined && !other.form.test(id))
    throw new ProblemError('bad_request', `subject.id: give ${other.say}.`);
}

/** @throws ProblemError `bad_request` */
export function readIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (!/^[\x20-\x7e]{1,255}$/.test(header))
    throw new ProblemError('bad_request', 'Idempotency-Key: 1 to 255 printable ASCII characters.');
  return header;
}

function readTime(name: string, text: string, mostMs: number): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new ProblemError(
      'bad_request',
      `${name}: a whole number and a unit, such as 30s, 15m, 24h or 7d.`,
    );
  if (ms < 1 || ms > mostMs)
    throw new ProblemError(
      'unprocessable',
      `${name}: at least 1ms and at most ${mostMs / DAY_MS}d.`,
    );
  return ms;
}
