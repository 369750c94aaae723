import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SeverClient } from '@sever/cli';
import { spawnFamily } from './family';
import { LivingAgent } from './living-agent';
import { Processes } from './processes';
import { startSidecar, startToolServer } from './stage';

interface Output {
  write(text: string): unknown;
}

const PACE_MS = 1_000;
/** A token lives for 15 minutes; the sample's agents are given new ones before that. */
const RENEW_MS = 12 * 60_000;

/** What `npm start` shows beside the control plane: a sidecar before a tool server, and a family that calls tools. */
export async function runSample(
  env: Readonly<Record<string, string | undefined>>,
  out: Output,
): Promise<void> {
  const { SEVER_URL: url = '', SEVER_KEY: key = '' } = env;
  const folder = await mkdtemp(join(tmpdir(), 'sever-sample-'));
  const processes = new Processes();
  const agents: LivingAgent[] = [];
  const ended = parentEnded();
  try {
    const tools = await startToolServer(processes);
    const sidecar = await startSidecar(processes, {
      folder,
      name: 'sample-sidecar',
      mode: 'strict',
      url,
      key,
      tools: tools.found,
    });
    const client = new SeverClient({ url, key });
    const family = await spawnFamily(client, 'alice@example.com');
    for (const { name, spawned } of family) {
      const agent = new LivingAgent({
        name,
        url: `${sidecar.found}/everything`,
        token: spawned.credential.token,
        paceMs: PACE_MS,
        renew: {
          everyMs: RENEW_MS,
          token: async () => (await client.mint(spawned.agent.id)).credential.token,
        },
      });
      agents.push(agent);
      await agent.start();
    }
    out.write(guide(url, sidecar.found, family[0]?.spawned.agent.id ?? ''));
    await ended;
  } finally {
    await Promise.all(agents.map((agent) => agent.stop()));
    await processes.stopAll();
    await rm(folder, { recursive: true, force: true });
  }
}

/** The control plane holds our standard input open; when it goes, however it goes, so do we. */
async function parentEnded(): Promise<void> {
  process.stdin.resume();
  await Promise.race([
    new Promise((resolve) => process.stdin.once('end', resolve)),
    new Promise((resolve) => process.once('SIGTERM', resolve)),
  ]);
  await delay(0);
}

function guide(url: string, sidecar: string, root: string): string {
  return `
A sample runs beside it (SEVER_SAMPLE=0 leaves it out): six agents call tools through ${sidecar}/everything
  console      ${url}/console
  stop them    curl --json '{"reason":"trying it out"}' -H "Authorization: Bearer $SEVER_KEY" ${url}/v1/agents/${root}/kill
`;
}
