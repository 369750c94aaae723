import type { IncomingMessage } from 'node:http';
import { ProblemError } from '@sever/protocol';
import type { Message } from './message';

/**
 * Revisions of the protocol that are understood here, newest first. The first has neither sessions nor a GET stream,
 * and says of each message in headers what its body says.
 */
export const REVISIONS = ['2026-07-28', '2025-11-25', '2025-06-18'] as const;
const WITH_HEADERS = '2026-07-28';
const NAMED_METHODS = new Set(['tools/call', 'resources/read', 'prompts/get']);

/**
 * The revision that the request names; without the header it is an older client's, and is judged all the same.
 *
 * @throws ProblemError `bad_request`
 */
export function revisionOf(request: IncomingMessage): string | undefined {
  const requested = request.headers['mcp-protocol-version'];
  if (requested === undefined) return undefined;
  const revision = REVISIONS.find((known) => known === requested);
  if (revision !== undefined) return revision;
  throw new ProblemError(
    'bad_request',
    `MCP-Protocol-Version is not one that is served here; these are: ${REVISIONS.join(', ')}`,
    { mcp_error: 'UnsupportedProtocolVersion', supported: [...REVISIONS] },
  );
}

/**
 * The body decides; headers that tell whoever routes by them something else must not go on.
 *
 * @throws ProblemError `bad_request`
 */
export function refuseOtherHeaders(
  request: IncomingMessage,
  message: Message,
  revision: string | undefined,
): void {
  const { 'mcp-method': method, 'mcp-name': name } = request.headers;
  if (method !== undefined && method !== message.method) throw mismatch('Mcp-Method');
  if (name !== undefined && decoded(name) !== message.name) throw mismatch('Mcp-Name');
  if (message.revision !== undefined && message.revision !== revision) {
    throw mismatch('MCP-Protocol-Version');
  }
  if (revision !== WITH_HEADERS || message.id === undefined) return;
  if (method === undefined) throw missing('Mcp-Method');
  if (name === undefined && NAMED_METHODS.has(message.method ?? '')) throw missing('Mcp-Name');
}

/** The text in a header that may be written in base64, as what is no plain ASCII must be. */
function decoded(header: string | string[]): string | undefined {
  if (Array.isArray(header)) return undefined;
  const packed = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/.exec(header)?.[1];
  return packed === undefined ? header : Buffer.from(packed, 'base64').toString('utf8');
}

function mismatch(header: string): ProblemError {
  return headerFault(`${header} and the body differ`);
}

function missing(header: string): ProblemError {
  return headerFault(`${header} is missing, which ${WITH_HEADERS} asks for`);
}

function headerFault(detail: string): ProblemError {
  return new ProblemError('bad_request', detail, { mcp_error: 'HeaderMismatch' });
}
