import type { JSONRPCErrorResponse, RequestId } from '@modelcontextprotocol/sdk/types.js';
import { RefusedError, refusal, refusalOf, type Refusal } from '@sever/enforcement';
import { MCP_REFUSED, ProblemError } from '@sever/protocol';

const INVALID_REQUEST = -32_600;

/** @throws whatever is no refusal */
export function refusalFrom(error: unknown): Refusal {
  if (error instanceof RefusedError) return refusalOf(error.denied);
  if (error instanceof ProblemError) return refusal(error.toProblem());
  throw error;
}

export function rpcRefusal({ problem }: Refusal, id: RequestId | undefined): JSONRPCErrorResponse {
  const code = problem.status === 400 ? INVALID_REQUEST : MCP_REFUSED;
  const error = { code, message: problem.detail, data: problem };
  return { jsonrpc: '2.0', ...(id === undefined ? {} : { id }), error };
}
