import type { SpawnReply } from '@sever/protocol';
import type { Failpoint } from '../../../src/config/failpoints';
import { eventually } from '../../support/eventually';
import { untilAnswered, type Answer, type Call } from '../api';
import type { World } from '../world';

/** What is done while a failpoint is armed, and what must have come of it in the end. */
export interface Prepared {
  readonly calls: readonly Call[];
  /** Once every call was answered: what is still wrong. */
  verify(answers: readonly Answer[]): Promise<string[]>;
}

export interface Act {
  readonly name: string;
  readonly failpoints: readonly Failpoint[];
  /** The database cannot be reached while it is done. */
  readonly databaseAway?: true;
  prepare(world: World, reason: string): Promise<Prepared>;
}

const KILL = ['kill.before_commit', 'kill.after_commit', 'kill.after_publish'] as const;
const RELAY = ['relay.before_publish', 'relay.after_publish'] as const;

/** A tree, so that a kill has something to reach that it does not name. */
async function family(world: World, name: string): Promise<[SpawnReply, SpawnReply]> {
  const root = await world.root(name);
  return [root, await world.child(root)];
}

/** Each call with a key of its own: one order under its reason, and its id whenever it is sent again. */
function orderedOnce(world: World, calls: readonly Call[]): Prepared['verify'] {
  const check = async (call: Call, answer: Answer | undefined): Promise<string[]> => {
    const { reason } = call.body as { reason: string };
    const again = await untilAnswered(world.plane.url, call);
    const ids = [...(await world.truth.ordersBecause(reason)), answer?.body.id, again.body.id];
    return ids.length === 3 && new Set(ids).size === 1 ? [] : [`${reason}: ${ids.join()}`];
  };
  return async (answers) => {
    const faults: string[] = [];
    for (const [at, call] of calls.entries()) {
      // One that was taken without the database is committed when it is back, a moment after it was answered.
      const last = await eventually(async () => expectNone(await check(call, answers[at])), {
        timeoutMs: 10_000,
      }).catch((error: unknown) => [String(error)]);
      faults.push(...last);
    }
    return faults;
  };
}

function expectNone(faults: string[]): string[] {
  if (faults.length > 0) throw new Error(faults.join());
  return faults;
}

const ordering =
  (action: 'kill' | 'suspend'): Act['prepare'] =>
  async (world, reason) => {
    const calls = [world.order(reason, await family(world, reason), { action })];
    return { calls, verify: orderedOnce(world, calls) };
  };

async function stopped(
  world: World,
  reason: string,
  action: 'kill' | 'suspend',
): Promise<{ tree: SpawnReply; id: string }> {
  const [tree] = await family(world, reason);
  const { body } = await untilAnswered(
    world.plane.url,
    world.order(`${reason}, before`, [tree], { action }),
  );
  return { tree, id: body.id as string };
}

const one = async (world: World, id: string, column: string): Promise<string[]> => {
  const rows = await world.truth.rows(
    `SELECT FROM revocation WHERE id = $1 AND ${column} IS NOT NULL`,
    [id],
  );
  return rows.length === 1 ? [] : [`${id} is not ${column}`];
};

/** Without a key: whatever came of an attempt that was not answered, it dies with its tree. */
const issuing =
  (path: (tree: SpawnReply) => string, body: object): Act['prepare'] =>
  async (world, reason) => {
    const [tree] = await family(world, reason);
    const kill = world.order(reason, [tree]);
    return {
      calls: [{ path: path(tree), key: tree.credential.token, body }],
      verify: async ([answer]) => {
        const { token } = (answer?.body.credential ?? {}) as { token?: string };
        if (token === undefined) return [`not issued: ${JSON.stringify(answer)}`];
        world.tokens.push(token);
        await world.agrees();
        const killed = await untilAnswered(world.plane.url, kill);
        return orderedOnce(world, [kill])([killed]);
      },
    };
  };

export const ACTS: readonly Act[] = [
  {
    name: 'kill',
    failpoints: [...KILL, ...RELAY, 'cascade.batch'],
    prepare: ordering('kill'),
  },
  { name: 'suspend', failpoints: KILL, prepare: ordering('suspend') },
  {
    name: 'batch',
    failpoints: ['batch.before_commit', 'batch.after_commit', 'kill.after_publish'],
    prepare: async (world, reason) => {
      const calls: Call[] = [];
      for (let at = 0; at < 6; at += 1)
        calls.push(world.order(`${reason}, ${at}`, await family(world, reason)));
      return { calls, verify: orderedOnce(world, calls) };
    },
  },
  {
    name: 'escalate',
    failpoints: KILL,
    prepare: async (world, reason) => {
      const { id } = await stopped(world, reason, 'suspend');
      const path = `/v1/kills/${id}/escalate?wait=1s`;
      return {
        calls: [{ path, key: world.key, body: { reason } }],
        verify: () => one(world, id, 'escalated'),
      };
    },
  },
  {
    name: 'lift',
    failpoints: ['lift.before_commit', 'lift.after_commit', ...RELAY],
    prepare: async (world, reason) => {
      const { id } = await stopped(world, reason, 'suspend');
      return {
        calls: [{ path: `/v1/kills/${id}/lift`, key: world.lead, body: { reason } }],
        verify: () => one(world, id, 'lifted'),
      };
    },
  },
  {
    name: 'reinstate',
    failpoints: ['reinstate.before_commit', 'reinstate.after_commit'],
    prepare: async (world, reason) => {
      const { tree, id } = await stopped(world, reason, 'kill');
      const path = `/v1/subjects/agent/${tree.agent.id}/reinstate`;
      return {
        calls: [{ path, key: world.lead, body: { kill_id: id, reason } }],
        verify: async () => {
          const minted = await world.client.mint(tree.agent.id);
          world.tokens.push(minted.credential.token);
          return one(world, id, 'reinstated');
        },
      };
    },
  },
  {
    name: 'spawn',
    failpoints: ['spawn.before_commit', 'spawn.after_commit'],
    prepare: issuing(() => '/v1/agents', { name: 'a late child' }),
  },
  {
    name: 'mint',
    failpoints: ['mint.before_commit', 'mint.after_commit'],
    prepare: issuing(({ agent }) => `/v1/agents/${agent.id}/credentials`, {}),
  },
  {
    name: 'emergency',
    failpoints: ['emergency.before_journal', 'emergency.after_journal', 'emergency.after_publish'],
    databaseAway: true,
    prepare: ordering('kill'),
  },
];
