import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeverClient } from '@sever/cli';
import { freePort, Processes, ROOT, type Started } from './processes';

export interface Stage {
  readonly client: SeverClient;
  readonly url: string;
  /** The upstream at each sidecar. */
  readonly strict: string;
  readonly bestEffort: string;
  close(): Promise<void>;
}

export const SEVER_BIN = join(ROOT, 'bin', 'sever.js');

/** A control plane of its own, a real MCP server, and a strict and a best-effort sidecar before it. Each is a process. */
export async function buildStage(): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'sever-demo-'));
  await chmod(folder, 0o711);
  const processes = new Processes();
  const close = async (): Promise<void> => {
    await processes.stopAll();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const key = `sk_${randomBytes(32).toString('base64url')}`;
    const [plane, tools] = await Promise.all([
      processes.start({
        name: 'the control plane',
        args: [join(ROOT, 'dist', 'main.js')],
        env: {
          ...OWN_STORES,
          SEVER_PORT: '0',
          SEVER_DATA_DIR: join(folder, 'control-plane'),
          SEVER_BOOTSTRAP_KEY: key,
          SEVER_SAMPLE: '0',
        },
        ready: /sever: listening on (http:\S+)/,
      }),
      startToolServer(processes),
    ]);
    const sidecar = (name: string, mode: string): Promise<Started> =>
      startSidecar(processes, { folder, name, mode, url: plane.found, key, tools: tools.found });
    const [strict, bestEffort] = await Promise.all([
      sidecar('sidecar-strict', 'strict'),
      sidecar('sidecar-best-effort', 'best_effort'),
    ]);
    return {
      client: new SeverClient({ url: plane.found, key }),
      url: plane.found,
      strict: `${strict.found}/everything`,
      bestEffort: `${bestEffort.found}/everything`,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Whatever the caller's environment says: this stage brings its own stores. */
const OWN_STORES = {
  SEVER_DATABASE_URL: '',
  SEVER_NATS_URL: '',
  SEVER_FAILPOINTS: '',
  SEVER_ISSUER: '',
  SEVER_MASTER_KEY: '',
};

/** `@modelcontextprotocol/server-everything`, the real thing, over Streamable HTTP. */
export async function startToolServer(processes: Processes): Promise<{ found: string }> {
  const port = await freePort();
  await processes.start({
    name: 'the MCP server',
    args: [
      require.resolve('@modelcontextprotocol/server-everything/dist/index.js'),
      'streamableHttp',
    ],
    env: { PORT: String(port) },
    ready: /listening on port/i,
  });
  return { found: `http://127.0.0.1:${port}/mcp` };
}

export async function startSidecar(
  processes: Processes,
  at: { folder: string; name: string; mode: string; url: string; key: string; tools: string },
): Promise<Started> {
  const config = join(at.folder, `${at.name}.yaml`);
  await writeFile(
    config,
    `name: ${at.name}\nmode: ${at.mode}\nupstreams:\n  - name: everything\n    kind: mcp\n    url: ${at.tools}\n`,
  );
  return processes.start({
    name: at.name,
    args: [SEVER_BIN, 'sidecar', '--config', config],
    env: {
      SEVER_URL: at.url,
      SEVER_ENROLMENT_KEY: at.key,
      SEVER_SIDECAR_PORT: '0',
      SEVER_DATA_DIR: join(at.folder, 'sidecars'),
    },
    ready: /sever sidecar: listening on (http:\S+)/,
  });
}
