import type { Kill, KillReceipt } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import { ProblemResponseError, SeverClientError } from '../client/errors';
import { sendOrder } from '../client/send-order';
import type { SeverClient } from '../client/sever-client';
import type { CliIo } from '../cli-io';
import { spawnCanaries, type CanaryTree } from './canary-tree';
import { Probe } from './probe';
import { judge, isContained, type PointResult } from './verdict';
import { WatchedPoint } from './watch-point';

/** How long an enforcement point may take to admit a canary that was just spawned. */
const ADMIT_WITHIN_MS = 5_000;
/** Watched a little past the bound: who refuses just in time must go on refusing. */
const PAST_BOUND_MS = 100;

export interface DrillOptions {
  readonly via: readonly string[];
  /** Milliseconds from the order to the last refusal. */
  readonly boundMs: number;
  /** Kill enforcement points that have confirmed the kill and still admit. */
  readonly quarantine: boolean;
  /** Tells this drill from others: part of the canaries' names. */
  readonly name: string;
}

export interface DrillResult {
  readonly drill: string;
  /** Null when no order was given, because no enforcement point admitted the canaries. */
  readonly kill: Kill | null;
  /** Milliseconds until the order was answered. */
  readonly answered_after_ms: number | null;
  /** The control plane itself refuses a spawn by the dead child. */
  readonly control_plane_refuses: boolean;
  readonly enforcement_points: readonly PointResult[];
  /** All that the drill claims: refused everywhere in time, contained, and the survivor unharmed. */
  readonly passed: boolean;
}

type DrillIo = Pick<CliIo, 'fetch' | 'delay' | 'newIdempotencyKey'>;

/** @throws SeverClientError when canaries cannot be spawned, or the kill is refused */
export async function runDrill(
  client: SeverClient,
  options: DrillOptions,
  io: DrillIo,
  note: (text: string) => void,
): Promise<DrillResult> {
  const victims = await spawnCanaries(client, options.name);
  try {
    const survivors = await spawnCanaries(client, `${options.name}-survivor`);
    try {
      return await drill(client, { victims, survivors }, options, io, note);
    } finally {
      await complete(client, survivors, note);
    }
  } catch (error) {
    await complete(client, victims, note);
    throw error;
  }
}

interface Trees {
  readonly victims: CanaryTree;
  readonly survivors: CanaryTree;
}

async function drill(
  client: SeverClient,
  { victims, survivors }: Trees,
  { via, boundMs, quarantine, name }: DrillOptions,
  io: DrillIo,
  note: (text: string) => void,
): Promise<DrillResult> {
  const now = () => performance.now();
  const canaries = {
    victims: [victims.rootToken, victims.childToken],
    survivor: survivors.childToken,
  };
  const points = via.map(
    (url) => new WatchedPoint(new Probe(url, io.fetch), canaries, { now, delay: io.delay }),
  );
  const until = now() + ADMIT_WITHIN_MS;
  const admitted = await Promise.all(points.map((point) => point.admit(until)));
  if (points.length > 0 && !admitted.includes(true)) {
    await complete(client, victims, note);
    const untimed = { sentAt: 0, answeredAt: 0, boundMs };
    return {
      ...{ drill: name, kill: null, answered_after_ms: null, control_plane_refuses: false },
      enforcement_points: points.map(({ observed }) => judge(observed, untimed, null)),
      passed: false,
    };
  }
  const over = new AbortController();
  const watching = points.map((point) => point.watch(over.signal));
  try {
    const { kill, sentAt, answeredAt } = await order(
      client,
      victims.rootId,
      { boundMs, name },
      io,
      note,
    );
    const deadline = sentAt + boundMs + PAST_BOUND_MS;
    // Everybody has the whole bound, unless nobody needs it.
    while (now() < deadline && !points.every(({ isSteady }) => isSteady)) await io.delay(10);
    over.abort();
    await Promise.all(watching);
    const latest = await present(client, kill);
    const results = points.map(({ observed }) =>
      judge(observed, { sentAt, answeredAt, boundMs }, latest.receipts),
    );
    const control_plane_refuses = await isRefused(client, victims.childToken);
    if (quarantine) await quarantineLying(client, results, name);
    return {
      drill: name,
      kill: latest.kill,
      answered_after_ms: Math.round((answeredAt - sentAt) * 10) / 10,
      control_plane_refuses,
      enforcement_points: results,
      passed:
        control_plane_refuses &&
        isContained(latest.kill) &&
        results.every(({ verdict, survivor }) => verdict === 'refused' && survivor === null),
    };
  } finally {
    over.abort();
    await Promise.all(watching);
  }
}

async function order(
  client: SeverClient,
  rootId: string,
  { boundMs, name }: { boundMs: number; name: string },
  io: DrillIo,
  note: (text: string) => void,
): Promise<{ kill: Kill; sentAt: number; answeredAt: number }> {
  const idempotencyKey = io.newIdempotencyKey();
  const sentAt = performance.now();
  let answeredAt = sentAt;
  const kill = await sendOrder({
    send: (how) =>
      client.killAgent(rootId, { reason: `drill ${name}` }, { ...how, idempotencyKey }),
    waitMs: boundMs,
    repeated: 'with the same Idempotency-Key',
    signal: new AbortController().signal,
    now: () => performance.now(),
    delay: io.delay,
    onCommitted: () => {
      answeredAt = performance.now();
    },
    onNotice: note,
  });
  return { kill, sentAt, answeredAt };
}

/** The record as it stands after the bound; what was known before, when nobody may read it. */
async function present(
  client: SeverClient,
  kill: Kill,
): Promise<{ kill: Kill; receipts: KillReceipt[] | null }> {
  try {
    const receipts = await allPages((page) => client.receipts(kill.id, page));
    return { kill: await client.getKill(kill.id), receipts: receipts.items };
  } catch (error) {
    if (!(error instanceof SeverClientError)) throw error;
    return { kill, receipts: null };
  }
}

async function isRefused(client: SeverClient, token: string): Promise<boolean> {
  try {
    await client.as(token).spawn({ name: 'a child of a dead canary' });
    return false;
  } catch (error) {
    if (error instanceof ProblemResponseError) return error.code === 'ancestor_revoked';
    throw error;
  }
}

async function quarantineLying(
  client: SeverClient,
  results: readonly PointResult[],
  name: string,
): Promise<void> {
  for (const result of results) {
    if (result.verdict !== 'lying' || result.id === null) continue;
    const kill = await client.kill({
      subject: { kind: 'enforcement_point', id: result.id },
      reason: `drill ${name}: it confirmed a kill and went on admitting at ${result.via}`.slice(
        0,
        1_000,
      ),
    });
    result.quarantined_by = kill.id;
  }
}

/** Canaries end by their own hand: a responder's key may not complete agents. A child does not end with its parent. */
async function complete(
  client: SeverClient,
  { rootId, rootToken, childId }: CanaryTree,
  note: (text: string) => void,
): Promise<void> {
  for (const id of [childId, rootId])
    try {
      await client.as(rootToken).complete(id);
    } catch (error) {
      if (!(error instanceof SeverClientError)) throw error;
      // Killed before something else went wrong: there is nothing left to end.
      if (error.code === 'agent_revoked') return;
      note(`a canary was left behind, it expires by itself (${id}: ${error.message})`);
    }
}
