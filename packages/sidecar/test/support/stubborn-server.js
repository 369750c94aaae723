// A stdio server that says who it is, starts a program of its own, and does not end when it is asked to.
const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');

const below = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
process.on('SIGTERM', () => {});
setInterval(() => {}, 1000);
process.stdout.write('hello, this line is no message\n');

const say = (message) =>
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const result = {
  protocolVersion: '2025-11-25',
  capabilities: { tools: {} },
  serverInfo: { name: 'stubborn', version: '1' },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (method === 'initialize') say({ id, result });
  if (method === 'notifications/cancelled') process.stderr.write(`cancelled ${params.requestId}\n`);
  if (method !== 'tools/call') return;
  if (params.name === 'die') process.exit(3);
  if (params.name === 'hang')
    return say({ method: 'notifications/message', params: { level: 'info', data: 'hangs' } });
  const text = JSON.stringify({ pid: process.pid, below: below.pid, env: process.env });
  say({ id, result: { content: [{ type: 'text', text }] } });
});
