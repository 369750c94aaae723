import type { Kill, KillReceipt } from '@sever/protocol';
import Table from 'cli-table3';
import type { LivingAgent } from './living-agent';

/** What was seen. Times are monotonic milliseconds of the process that watched. */
export interface Account {
  kill: Kill;
  receipts: KillReceipt[];
  orderedAt: number;
  committedAt: number;
  spawnRefused: string | null;
  mintRefused: string | null;
  killed: { agent: LivingAgent; callsBefore: number }[];
  spared: { agent: LivingAgent; callsBefore: number }[];
}

interface Claim {
  what: string;
  seen: string;
  held: boolean;
}

/** The table, and whether every line of it is as it must be. */
export function report(account: Account): { text: string; held: boolean } {
  const claims = [
    ...orderClaims(account),
    ...account.receipts.map(receiptClaim),
    ...account.killed.map((watched) => killedClaim(account, watched)),
    ...account.spared.map(sparedClaim),
  ];
  const table = new Table({ head: ['what', 'seen', ''], style: { head: [], border: [] } });
  for (const { what, seen, held } of claims) table.push([what, seen, held ? 'held' : 'FAILED']);
  const held = claims.every((claim) => claim.held);
  const verdict = held ? 'Every claim held.' : 'NOT every claim held; see the lines marked FAILED.';
  return { text: `${table.toString()}\n\n${account.kill.summary}\n${verdict}\n`, held };
}

function orderClaims({
  kill,
  orderedAt,
  committedAt,
  spawnRefused,
  mintRefused,
}: Account): Claim[] {
  return [
    { what: 'kill committed and answered in', seen: ms(committedAt - orderedAt), held: true },
    {
      what: 'kill contained',
      seen: `${kill.state}, ${kill.containment.enforced} of ${kill.containment.required} enforce it`,
      held: kill.state === 'contained' && kill.containment.enforced === 2,
    },
    {
      what: 'cascade enumerated',
      seen: `${kill.cascade.agents} agents, ${kill.cascade.credentials} credentials`,
      held: kill.cascade.agents === 6 && (kill.cascade.credentials ?? 0) >= 6,
    },
    {
      what: 'a spawn after the kill',
      seen: spawnRefused ?? 'was admitted',
      held: spawnRefused === 'ancestor_revoked',
    },
    {
      what: 'a mint after the kill',
      seen: mintRefused ?? 'was admitted',
      held: mintRefused === 'ancestor_revoked',
    },
  ];
}

function receiptClaim({ enforcement_point, status, latency_ms, in_flight }: KillReceipt): Claim {
  const cut = in_flight ? `, ${in_flight.aborted} in flight cut` : '';
  return {
    what: `receipt of ${enforcement_point.name} (${enforcement_point.mode}) after the commit in`,
    seen: `${latency_ms === null ? status : ms(latency_ms)}${cut}`,
    held: status === 'enforced' && latency_ms !== null,
  };
}

function killedClaim(account: Account, { agent, callsBefore }: Account['killed'][number]): Claim {
  const { refusal, unexpected, long } = agent;
  const what = long
    ? `${agent.name}: call in flight cut in`
    : `${agent.name}: first refused call in`;
  const worked = long ? agent.progressAt > 0 : callsBefore > 0;
  if (!refusal) return { what, seen: unexpected ?? 'was never refused', held: false };
  return {
    what,
    seen: `${ms(refusal.at - account.orderedAt)} (${refusal.code}${worked ? '' : ', and never worked before'})`,
    held:
      worked &&
      refusal.code === 'agent_revoked' &&
      refusal.killId === account.kill.id &&
      refusal.at >= account.orderedAt &&
      agent.lastAdmittedAt <= refusal.at,
  };
}

function sparedClaim({ agent, callsBefore }: Account['spared'][number]): Claim {
  const since = agent.calls - callsBefore;
  const trouble = agent.refusal?.code ?? agent.unexpected;
  return {
    what: `${agent.name} (another tree): calls since the kill`,
    seen: trouble ? `${since}, then ${trouble}` : `${since}, none missed`,
    held: trouble === undefined && since > 0,
  };
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
