import type { SeverClient } from '../client/sever-client';

/** Every drill acts for this human, so that records and alarms can tell drills from incidents. */
export const DRILL_INITIATOR = 'sever-drill';
/** A drill that dies leaves nothing behind for long. */
const LIFE_SECONDS = 600;

export interface CanaryTree {
  readonly rootId: string;
  readonly rootToken: string;
  readonly childId: string;
  readonly childToken: string;
}

/** A root and a child that may do nothing at all. */
export async function spawnCanaries(client: SeverClient, name: string): Promise<CanaryTree> {
  const root = await client.spawn({
    name: `drill ${name}`,
    initiator: { subject: DRILL_INITIATOR },
    scopes: [],
    labels: { drill: name },
    ttl_seconds: LIFE_SECONDS,
  });
  const rootToken = root.credential.token;
  const child = await client.as(rootToken).spawn({ name: `drill ${name} child`, scopes: [] });
  return {
    rootId: root.agent.id,
    rootToken,
    childId: child.agent.id,
    childToken: child.credential.token,
  };
}
