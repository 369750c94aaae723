import type { SeverClient } from '@sever/cli';
import type { SpawnReply } from '@sever/protocol';

export interface Seeded {
  agents: number;
  root: string;
  leaf: string;
  leafToken: string;
  seconds: number;
}

const CALLERS = 16;

/** Spawns a tree through the public API: breadth first, `fanout` children each, until it has so many agents. */
export async function seed(
  client: SeverClient,
  options: { agents: number; fanout: number; progress: (line: string) => void },
): Promise<Seeded> {
  const startedAt = performance.now();
  const root = await client.spawn({
    name: 'seed-root',
    initiator: { subject: 'seed@example.com' },
    scopes: ['tool:*'],
  });
  let level: SpawnReply[] = [root];
  let born = 1;
  let leaf = root;
  while (born < options.agents) {
    const parents = level.flatMap((parent) => Array.from({ length: options.fanout }, () => parent));
    const wanted = parents.slice(0, options.agents - born);
    const next: SpawnReply[] = [];
    await inParallel(wanted, async (parent) => {
      const child = await client
        .as(parent.credential.token)
        .spawn({ name: `seed-${parent.agent.depth + 1}`, scopes: ['tool:*'] });
      next.push(child);
      born += 1;
      if (born % 1_000 === 0) options.progress(`${born} of ${options.agents} agents`);
    });
    level = next;
    leaf = next.at(-1) ?? leaf;
  }
  return {
    agents: born,
    root: root.agent.id,
    leaf: leaf.agent.id,
    leafToken: leaf.credential.token,
    seconds: Math.round((performance.now() - startedAt) / 100) / 10,
  };
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      for (const item of rest) await work(item);
    }),
  );
}
