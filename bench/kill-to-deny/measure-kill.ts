import type { Kill } from '@sever/protocol';
import { type Client } from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import type { Fleet } from '../points/fleet';
import type { Living } from '../stage/api';
import type { Observer } from '../stage/observer';
import type { Stage } from '../stage/stage';

/** Until those who refuse are asked when they did; asking sooner would compete with the last of them. */
const QUIET_MS = 40;

/** One kill; all moments are milliseconds after the request was handed over. */
export interface MeasuredKill {
  readonly answered: number;
  readonly firstRefused: number;
  readonly lastRefused: number;
  readonly lastDelivered: number;
  /** The longest way from the message in an enforcement point to its first refusal. */
  readonly slowestPoint: number;
  /** The database was asked. */
  readonly asked: number;
  /** Its COMMIT, and the message, as a connection of this process saw them. */
  readonly committed: number;
  readonly published: number;
  /** The last receipt was there; `null` without receipts. */
  readonly lastReceipt: number | null;
  readonly refusals: number;
  readonly state: Kill['state'];
}

export interface KillOptions {
  readonly wait: string;
  readonly receipts: boolean;
}

/** Kills an agent whose call every enforcement point of the fleet has admitted, and collects what each step took. */
export async function measureKill(
  { stage, fleet, observer, database }: Scene,
  { id, token }: Living,
  { wait, receipts }: KillOptions,
): Promise<MeasuredKill> {
  await fleet.receipts(receipts);
  await fleet.watch(token);
  const { body, sentAt, answeredAt } = await stage.api.kill(id, wait);
  await delay(QUIET_MS);
  const seen = await fleet.seen();
  if (seen.some(({ code }) => code !== 'agent_revoked'))
    throw new Error('an enforcement point refused for another reason than the kill');
  const published = observer.publicationOf(body.id);
  const committed = observer.commitAfter(sentAt);
  if (published === undefined || committed === undefined)
    throw new Error('a kill was enforced that was not seen on its way');
  const askedAt = stage.fromReplicaClock(await commitClock(database, body.id));
  const longest = receipts ? await longestReceipt(stage, body.id) : null;
  return {
    answered: answeredAt - sentAt,
    firstRefused: Math.min(...seen.map(({ refusedAt }) => refusedAt)) - sentAt,
    lastRefused: Math.max(...seen.map(({ refusedAt }) => refusedAt)) - sentAt,
    lastDelivered: Math.max(...seen.map(({ deliveredAt }) => deliveredAt)) - sentAt,
    slowestPoint: Math.max(...seen.map(({ refusedAt, deliveredAt }) => refusedAt - deliveredAt)),
    asked: askedAt - sentAt,
    committed: committed - sentAt,
    published: published - sentAt,
    lastReceipt: longest === null ? null : askedAt - sentAt + longest,
    refusals: seen.length,
    state: body.state,
  };
}

export interface Scene {
  readonly stage: Stage;
  readonly fleet: Fleet;
  readonly observer: Observer;
  readonly database: Client;
}

/** The replica's clock just before it sent the transaction, as the kill's record has it. */
async function commitClock(database: Client, id: string): Promise<number> {
  const { rows } = await database.query<{ at: number | null }>(
    'SELECT committed_mono_ms AS at FROM revocation WHERE id = $1',
    [id],
  );
  const at = rows[0]?.at;
  if (typeof at !== 'number') throw new Error('the record does not say when it was committed');
  return at;
}

/** From the commit to the last receipt's arrival, by the kill's record. */
async function longestReceipt(stage: Stage, id: string): Promise<number> {
  for (let looks = 0; looks < 100; looks++) {
    const { state, containment } = await stage.api.read(id);
    if (state === 'contained' && containment.latency_ms !== null) return containment.latency_ms.max;
    await delay(QUIET_MS);
  }
  throw new Error('a kill was not contained');
}
