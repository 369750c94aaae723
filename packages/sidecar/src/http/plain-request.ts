import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';

export function isWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.trim().toLowerCase() === 'websocket';
}

/**
 * Serves a request as if it had offered no upgrade. Node gives the socket away with the offer, so the request goes back
 * into it without, as Node's own parser has read it, and the server reads it anew.
 */
export function asPlainRequest(
  server: Server,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const { method = '', url = '', httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    const kept = withoutOffer(name, value);
    if (kept !== undefined) lines.push(`${name}: ${kept}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}

function withoutOffer(name: string, value: string): string | undefined {
  const lower = name.toLowerCase();
  if (lower === 'upgrade' || lower === 'http2-settings') return undefined;
  if (lower !== 'connection') return value;
  const options = value.split(',').map((option) => option.trim());
  const kept = options.filter((option) => !/^(?:upgrade|http2-settings)$/i.test(option));
  return kept.length === 0 ? undefined : kept.join(', ');
}
