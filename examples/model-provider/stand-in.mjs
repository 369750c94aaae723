// Stands in for both providers: it answers with recorded streams, one event each PACE_MS milliseconds, again and again
// where the recording repeats, and prints what it was asked as one JSON object a line.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const KEY = process.env.STAND_IN_KEY ?? 'the-key-of-the-provider';
const PACE_MS = Number(process.env.STAND_IN_PACE_MS ?? 20);
/** How often the events in the midst of a recording are said. */
const REPEATS = Number(process.env.STAND_IN_REPEATS ?? 50);

const recorded = (name) => {
  const text = readFileSync(new URL(name, import.meta.url), 'utf8');
  const [begin, midst, end] = text.split('\n# again\n');
  return { begin, midst, end };
};
const STREAMS = {
  '/v1/messages': recorded('anthropic.sse'),
  '/v1/chat/completions': recorded('openai.sse'),
};

const server = createServer(async (request, response) => {
  const { method, url, headers } = request;
  process.stdout.write(`${JSON.stringify({ method, url, headers })}\n`);
  await once(request.resume(), 'end');
  const stream = STREAMS[url];
  const key = headers['x-api-key'] ?? headers.authorization;
  if (stream === undefined) return response.writeHead(404).end();
  if (key !== KEY && key !== `Bearer ${KEY}`) return response.writeHead(401).end();
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  const events = [stream.begin, ...Array(REPEATS).fill(stream.midst), stream.end];
  const say = () => {
    const event = events.shift();
    if (event === undefined || response.destroyed) return response.end();
    response.write(event.trim() + '\n\n');
    setTimeout(say, PACE_MS);
  };
  say();
});
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })}\n`);
});
