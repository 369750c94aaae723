import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePort } from '../../../../src/embedded/ports';
import { eventually } from '../../../../test/support/eventually';

const SERVER = join(
  __dirname,
  '../../../../node_modules/@modelcontextprotocol/server-everything/dist/index.js',
);

export interface ReferenceServer {
  /** Where it speaks Streamable HTTP. */
  readonly url: string;
  close(): Promise<void>;
}

/** The MCP reference server, in a process of its own. */
export async function startReferenceServer(): Promise<ReferenceServer> {
  const port = await freePort();
  const server = spawn(process.execPath, [SERVER, 'streamableHttp'], {
    env: { ...process.env, PORT: String(port) },
    stdio: 'ignore',
  });
  await eventually(() => fetch(`http://127.0.0.1:${port}/`), { timeoutMs: 20_000 });
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    close: async () => {
      server.kill('SIGKILL');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    },
  };
}
