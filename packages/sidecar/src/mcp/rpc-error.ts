import {
  ErrorCode,
  type JSONRPCErrorResponse,
  type RequestId,
} from '@modelcontextprotocol/sdk/types.js';
import { MCP_REFUSED, type Problem } from '@sever/protocol';

/** Errors that MCP gives codes of their own; a problem names one as `mcp_error`. */
const NAMED_CODES: Readonly<Record<string, number>> = {
  HeaderMismatch: -32_020,
  UnsupportedProtocolVersion: -32_022,
  InvalidParams: ErrorCode.InvalidParams,
};

/** A refusal as an MCP client reads it. Without an id where the request's is not known, as MCP asks. */
export function rpcError(of: Problem, id: RequestId | undefined): JSONRPCErrorResponse {
  return {
    jsonrpc: '2.0',
    ...(id === undefined ? {} : { id }),
    error: { code: codeOf(of), message: of.detail, data: of },
  };
}

/** The same as the last event of a stream. */
export function rpcErrorEvent(of: Problem, id: RequestId | undefined): string {
  return `event: message\ndata: ${JSON.stringify(rpcError(of, id))}\n\n`;
}

function codeOf(of: Problem): number {
  const named = typeof of['mcp_error'] === 'string' ? NAMED_CODES[of['mcp_error']] : undefined;
  if (named !== undefined) return named;
  switch (of.status) {
    case 400:
    case 413:
    case 415:
      return ErrorCode.InvalidRequest;
    case 500:
    case 502:
      return ErrorCode.InternalError;
    default:
      return MCP_REFUSED;
  }
}
