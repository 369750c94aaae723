import { createPublicKey, verify, type JsonWebKey } from 'node:crypto';
import { compactVerify, importJWK } from 'jose';
import type { EnforcementPoint } from '@sever/enforcement';
import { monotonicMs } from '../measure/monotonic';
import { WatchedPoint, type PointAddress } from '../points/watched-point';
import { answer } from '../stage/processes';

/*
 * One enforcement point, and what its decisions cost: microseconds of processor time a call. Not of the clock, because a
 * decision is so short that whatever else the machine does would be most of what is measured.
 */
const CALLS_A_BATCH = 20_000;
const TOKENS_A_GROUP = 20;

let watched: WatchedPoint | undefined;
const living = (): EnforcementPoint => {
  if (watched === undefined) throw new Error('not connected');
  return watched.point;
};

answer(
  {
    connect: async ({ address }: { address: PointAddress }) => {
      const before = monotonicMs();
      watched = await WatchedPoint.connect(address);
      return { ms: monotonicMs() - before };
    },
    firstSight: async ({ tokens }: { tokens: string[] }) =>
      each(tokens, async (token) => allowed(await living().check(token))),
    verifyLikeIt: async ({ tokens, jwk }: { tokens: string[]; jwk: JsonWebKey }) => {
      const key = await importJWK(jwk as never, 'EdDSA');
      return each(tokens, async (token) => (await compactVerify(token, key)).payload.length > 0);
    },
    verifyAlone: async ({ tokens, jwk }: { tokens: string[]; jwk: JsonWebKey }) => {
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      return each(tokens, async (token) => {
        const end = token.lastIndexOf('.');
        const signature = Buffer.from(token.slice(end + 1), 'base64url');
        return verify(null, Buffer.from(token.slice(0, end)), key, signature);
      });
    },
    hot: async ({ tokens, batches }: { tokens: string[]; batches: number }) => {
      const point = living();
      return inBatches(batches, tokens, (token) => point.check(token));
    },
    hotWithTool: async ({ tokens, batches }: { tokens: string[]; batches: number }) => {
      const point = living();
      return inBatches(batches, tokens, (token) => point.check(token, { tool: 'bench/one' }));
    },
    changing: async ({ tokens, batches }: { tokens: string[]; batches: number }) => {
      const point = living();
      const { view } = Reflect.get(point, 'machine') as { view: { version: number } };
      return inBatches(batches, tokens, (token) => {
        view.version += 1;
        return point.check(token);
      });
    },
    map: async ({ tokens, batches, size }: { tokens: string[]; batches: number; size: number }) => {
      const known = new Map<string, { decision: string }>();
      for (let entry = 0; entry < size; entry++) known.set(`entry ${entry}`, { decision: 'deny' });
      for (const token of tokens) known.set(token, { decision: 'allow' });
      return inBatches(batches, tokens, async (token) => known.get(token) ?? { decision: 'deny' });
    },
  },
  async () => watched?.point.close(),
);

/** Tokens in groups, so that the processor time of each can be told. */
async function each(
  tokens: readonly string[],
  decide: (token: string) => Promise<boolean>,
): Promise<number[]> {
  const took: number[] = [];
  for (let at = 0; at < tokens.length; at += TOKENS_A_GROUP) {
    const group = tokens.slice(at, at + TOKENS_A_GROUP);
    const before = process.cpuUsage();
    for (const token of group) if (!(await decide(token))) throw new Error('refused');
    took.push(spentSince(before) / group.length);
  }
  return took;
}

async function inBatches(
  batches: number,
  tokens: readonly string[],
  decide: (token: string) => Promise<{ decision: string }>,
): Promise<number[]> {
  const took: number[] = [];
  for (let batch = 0; batch < batches; batch++) {
    let wrong = 0;
    const before = process.cpuUsage();
    for (let call = 0; call < CALLS_A_BATCH; call++) {
      const { decision } = await decide(tokens[call % tokens.length] ?? '');
      if (decision !== 'allow') wrong += 1;
    }
    took.push(spentSince(before) / CALLS_A_BATCH);
    if (wrong > 0) throw new Error('a decision was wrong while it was measured');
  }
  return took;
}

/** Of all threads: signatures are verified beside the main one, and memory is cleared there. */
function spentSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function allowed({ decision }: { decision: string }): boolean {
  return decision === 'allow';
}
