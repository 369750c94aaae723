import { setTimeout as delay } from 'node:timers/promises';
import { ProblemResponseError, type SeverClient } from '@sever/cli';
import type { Kill, KillReceipt } from '@sever/protocol';
import { spawnFamily, spawnNeighbours, type Member } from './family';
import { LivingAgent } from './living-agent';
import { report, type Account } from './report';
import { buildStage, type Stage } from './stage';

interface Output {
  write(text: string): unknown;
}

const WARM_UP_MS = 1_500;
const AFTERMATH_MS = 1_500;
const CONTAINED_WITHIN_MS = 15_000;

/**
 * Plays the main job once, on real processes: a family of agents calls tools through two sidecars, one kill stops all of
 * them, and a neighbouring tree goes on. Prints what happened and when, every figure from clocks read at the events.
 *
 * @returns 0 only if every claim held
 */
export async function runDemo(out: Output): Promise<number> {
  out.write('Starting a control plane, an MCP server and two sidecars…\n');
  const stage = await buildStage();
  const agents: LivingAgent[] = [];
  try {
    const family = await spawnFamily(stage.client, 'alice@example.com');
    const neighbours = await spawnNeighbours(stage.client, 'bob@example.com');
    const [killed, spared] = [
      bringToLife(stage, family, 'crawler'),
      bringToLife(stage, neighbours),
    ];
    agents.push(...killed, ...spared);
    await Promise.all(agents.map((agent) => agent.start()));
    await delay(WARM_UP_MS);
    out.write(`${agents.length} agents are calling tools. Killing the orchestrator…\n\n`);
    const account = await killAndWatch(stage.client, family, killed, spared);
    const { text, held } = report(account);
    out.write(text);
    return held ? 0 : 1;
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await stage.close();
  }
}

/** Half of them behind the strict sidecar, half behind the best-effort one. */
function bringToLife(stage: Stage, members: Member[], inLongCall?: string): LivingAgent[] {
  return members.map(
    ({ name, spawned }, at) =>
      new LivingAgent({
        name,
        token: spawned.credential.token,
        url: at % 2 === 0 ? stage.strict : stage.bestEffort,
        long: name === inLongCall,
      }),
  );
}

async function killAndWatch(
  client: SeverClient,
  family: Member[],
  killed: LivingAgent[],
  spared: LivingAgent[],
): Promise<Account> {
  const [orchestrator, child] = family.map(({ spawned }) => spawned);
  if (!orchestrator || !child) throw new Error('the family is not complete');
  const callsBefore = killed.map(({ calls }) => calls);
  const sparedBefore = spared.map(({ calls }) => calls);

  const orderedAt = performance.now();
  const committed = await client.killAgent(
    orchestrator.agent.id,
    { reason: 'demo: the orchestrator went wrong' },
    { waitMs: 0 },
  );
  const committedAt = performance.now();
  const spawnRefused = await refusalOf(
    client.as(child.credential.token).spawn({ name: 'too late' }),
  );
  const mintRefused = await refusalOf(client.mint(child.agent.id));

  const kill = await untilContained(client, committed);
  await delay(AFTERMATH_MS);
  return {
    kill,
    receipts: (await client.receipts(kill.id)).items satisfies KillReceipt[],
    orderedAt,
    committedAt,
    spawnRefused,
    mintRefused,
    killed: killed.map((agent, at) => ({ agent, callsBefore: callsBefore[at] ?? 0 })),
    spared: spared.map((agent, at) => ({ agent, callsBefore: sparedBefore[at] ?? 0 })),
  };
}

async function untilContained(client: SeverClient, kill: Kill): Promise<Kill> {
  const deadline = performance.now() + CONTAINED_WITHIN_MS;
  let seen = kill;
  while (
    (seen.state !== 'contained' || seen.cascade.state !== 'done') &&
    performance.now() < deadline
  ) {
    await delay(20);
    seen = await client.getKill(kill.id);
  }
  return seen;
}

/** The code with which a call was refused; `null` when it was not. */
async function refusalOf(call: Promise<unknown>): Promise<string | null> {
  try {
    await call;
    return null;
  } catch (error) {
    if (error instanceof ProblemResponseError) return error.problem.code;
    throw error;
  }
}
