import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { EnforcementPoint } from '@sever/enforcement';
import { McpGuard } from '@sever/mcp';

const {
  SEVER_URL = 'http://127.0.0.1:7400',
  SEVER_ENROLMENT_KEY = '',
  PORT = '8081',
} = process.env;
const { SEVER_DATA_DIR = '.sever/examples' } = process.env;

async function main(): Promise<void> {
  const point = await EnforcementPoint.connect({
    url: SEVER_URL,
    enrolmentKey: SEVER_ENROLMENT_KEY,
    name: 'mcp-server',
    keyDirectory: `${SEVER_DATA_DIR}/mcp-server`,
  });
  const guard = new McpGuard({ point, name: 'accounts', effects: { balance: 'read' } });
  const sessions = new Map<string, StreamableHTTPServerTransport>();

  const server = createServer((request, response) => {
    const known = sessions.get(String(request.headers['mcp-session-id']));
    void (async () => {
      await guard.handle(known ?? (await newSession(guard, sessions)), request, response);
    })();
  });
  server.listen(Number(PORT), '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo;
    process.stdout.write(`listening on http://127.0.0.1:${port}/mcp\n`);
  });
  process.once('SIGTERM', () => {
    server.closeAllConnections();
    server.close();
    void point.close();
  });
}

async function newSession(
  guard: McpGuard,
  sessions: Map<string, StreamableHTTPServerTransport>,
): Promise<StreamableHTTPServerTransport> {
  const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    onsessioninitialized: (id) => void sessions.set(id, transport),
    onsessionclosed: (id) => void sessions.delete(id),
  });
  const server = guard.protect(new McpServer({ name: 'accounts', version: '1.0.0' }));
  server.registerTool('balance', { description: 'What is left' }, () => text('1,250.00'));
  // Takes a minute, which a kill cuts short.
  server.registerTool('settle', { description: 'Settles accounts' }, async ({ signal }) => {
    process.stdout.write('settling\n');
    try {
      await delay(60_000, undefined, { signal });
      return text('settled');
    } catch (error) {
      process.stdout.write('rolled back\n');
      throw error;
    }
  });
  await server.connect(transport);
  return transport;
}

function text(of: string): { content: { type: 'text'; text: string }[] } {
  return { content: [{ type: 'text', text: of }] };
}

void main();
