import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { answer } from '../stage/processes';

// What stands behind the sidecar: a plain answer, a tool of an MCP server, and event streams that never end.
const TICK_MS = 20;

const streams = new Set<ServerResponse>();
let everyMs = 1_000;
let next: ServerResponse[] = [];

const server = createServer((request, response) => {
  if (request.url === '/stream') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write('data: begun\n\n');
    streams.add(response);
    response.once('close', () => streams.delete(response));
    return;
  }
  void text(request).then((body) => {
    const reply = request.method === 'POST' ? toolReply(body) : '{"done":true}';
    response
      .writeHead(200, {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(reply),
      })
      .end(reply);
  });
});
// The sidecar opens as many at once as its agents do.
server.maxConnections = Infinity;

function toolReply(body: string): string {
  const { id } = JSON.parse(body) as { id: number };
  const content = [{ type: 'text', text: 'done' }];
  return JSON.stringify({ jsonrpc: '2.0', id, result: { content } });
}

/** Spread over the whole period, as streams of many agents are. */
const timer = setInterval(() => {
  if (next.length === 0) next = [...streams];
  const share = Math.ceil((streams.size * TICK_MS) / everyMs);
  for (const stream of next.splice(0, share)) stream.write('data: {"text":"and on it goes"}\n\n');
}, TICK_MS);

answer(
  {
    listen: async (input: { everyMs: number }) => {
      everyMs = input.everyMs;
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 8_192, resolve));
      return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
    },
    open: async () => streams.size,
  },
  async () => {
    clearInterval(timer);
    server.closeAllConnections();
    server.close();
  },
);
