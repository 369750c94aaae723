import { freePort, type Processes } from '../../src/demo/processes';

/** `@modelcontextprotocol/server-everything` as a process; resolves to its Streamable HTTP address. */
export async function startEverything(processes: Processes): Promise<string> {
  const port = await freePort();
  await processes.start({
    name: 'server-everything',
    args: [
      require.resolve('@modelcontextprotocol/server-everything/dist/index.js'),
      'streamableHttp',
    ],
    env: { PORT: String(port) },
    ready: /listening on port/i,
  });
  return `http://127.0.0.1:${port}/mcp`;
}
