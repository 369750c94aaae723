import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Agent, request as send, type Dispatcher } from 'undici';
import { answer } from '../stage/processes';

// The floor of the sidecar: the same server and the same client, and nothing between them.
const dispatcher = new Agent();
let upstream = '';

const server = createServer((request, response) => {
  relay(request, response).catch(() => response.destroy());
});

async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { host, connection, authorization, ...headers } = request.headers;
  const reply = await send(`${upstream}${request.url}`, {
    method: request.method as Dispatcher.HttpMethod,
    headers,
    body: request.method === 'GET' ? null : request,
    dispatcher,
  });
  const { connection: ofUpstream, 'keep-alive': kept, ...passed } = reply.headers;
  response.writeHead(reply.statusCode, passed);
  await pipeline(reply.body, response);
}

answer(
  {
    listen: async (input: { upstream: string }) => {
      upstream = input.upstream;
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
    },
  },
  async () => {
    server.closeAllConnections();
    await dispatcher.destroy();
  },
);
