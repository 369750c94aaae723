import type { Kill, KillReceipt } from '@sever/protocol';
import type { Observed } from './watch-point';

/**
 * - `refused`: within the bound, and ever since
 * - `late`: after the bound
 * - `lying`: gave its receipt, and still admits
 * - `admits`: still admits, and has not said otherwise
 * - `unheard`: it could not be asked, or did not admit the canaries in the first place; nothing is proven
 */
export type Verdict = 'refused' | 'late' | 'lying' | 'admits' | 'unheard';

/** One enforcement point after the drill. Times in milliseconds. */
export interface PointResult {
  readonly via: string;
  /** By `/state`; null when it tells nobody. */
  readonly id: string | null;
  readonly name: string | null;
  readonly verdict: Verdict;
  /** From the moment the order left to the first answer that refused every victim. Upper bounds. */
  readonly refused_after_sent_ms: number | null;
  /** From the moment the order was answered; negative when it refused before that. */
  readonly refused_after_answered_ms: number | null;
  readonly receipt: KillReceipt['status'] | null;
  readonly said: string;
  /** What it said when it did not admit the survivor. */
  readonly survivor: string | null;
  /** The kill of this enforcement point. */
  quarantined_by: string | null;
}

/** @param receipts null when they could not be read */
export function judge(
  point: Observed,
  { sentAt, answeredAt, boundMs }: { sentAt: number; answeredAt: number; boundMs: number },
  receipts: readonly KillReceipt[] | null,
): PointResult {
  const { via, identity, refusedAt, last, survivorHurt } = point;
  // Several boots can stand behind one id; any that has confirmed is enough to be held to it.
  const own = (receipts ?? []).filter((one) => one.enforcement_point.id === identity?.id);
  const receipt = own.find(({ status }) => status === 'enforced') ?? own[0];
  const afterSent = refusedAt === null ? null : round(refusedAt - sentAt);
  return {
    via,
    id: identity?.id ?? null,
    name: identity?.name ?? null,
    verdict: verdictOf(point, afterSent, boundMs, receipt?.status === 'enforced'),
    refused_after_sent_ms: afterSent,
    refused_after_answered_ms: refusedAt === null ? null : round(refusedAt - answeredAt),
    receipt: receipt?.status ?? null,
    said: saidText(last),
    survivor: survivorHurt === null ? null : saidText(survivorHurt),
    quarantined_by: null,
  };
}

function verdictOf(
  { admittedFirst, last }: Observed,
  afterSent: number | null,
  boundMs: number,
  confirmed: boolean,
): Verdict {
  if (!admittedFirst) return 'unheard';
  if (afterSent !== null) return afterSent <= boundMs ? 'refused' : 'late';
  if (last?.decision !== 'allow') return 'unheard';
  return confirmed ? 'lying' : 'admits';
}

/** Did the kill do what it should, as far as the control plane knows? */
export function isContained(kill: Kill | null): boolean {
  return kill?.state === 'contained';
}

function saidText(said: Observed['last']): string {
  if (said === null) return 'nothing';
  if (said.decision === 'deny') return said.code;
  return said.decision === 'allow' ? 'admitted' : said.why;
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
