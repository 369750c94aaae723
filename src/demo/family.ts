import type { SeverClient } from '@sever/cli';
import type { SpawnReply } from '@sever/protocol';

export interface Member {
  name: string;
  spawned: SpawnReply;
}

const SCOPES = ['tool:everything/*'];

/** An orchestrator for a human, three sub-agents, and two grandchildren of the first two. */
export async function spawnFamily(client: SeverClient, initiator: string): Promise<Member[]> {
  const orchestrator = await client.spawn({
    name: 'orchestrator',
    initiator: { subject: initiator },
    task: { name: 'prepare the quarterly report' },
    scopes: SCOPES,
  });
  const family: Member[] = [{ name: 'orchestrator', spawned: orchestrator }];
  const below = async (parent: SpawnReply, name: string): Promise<SpawnReply> => {
    const spawned = await client.as(parent.credential.token).spawn({ name, scopes: SCOPES });
    family.push({ name, spawned });
    return spawned;
  };
  const researcher = await below(orchestrator, 'researcher');
  const analyst = await below(orchestrator, 'analyst');
  await below(orchestrator, 'writer');
  await below(researcher, 'crawler');
  await below(analyst, 'calculator');
  return family;
}

/** A tree that has nothing to do with the other: what a kill must leave alone. */
export async function spawnNeighbours(client: SeverClient, initiator: string): Promise<Member[]> {
  const root = await client.spawn({
    name: 'billing bot',
    initiator: { subject: initiator },
    scopes: SCOPES,
  });
  const child = await client
    .as(root.credential.token)
    .spawn({ name: 'invoice reader', scopes: SCOPES });
  return [
    { name: 'billing bot', spawned: root },
    { name: 'invoice reader', spawned: child },
  ];
}
