export const JSON_RPC = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};

/** One JSON-RPC message as an agent posts it. */
export function postMessage(
  url: string,
  token: string,
  message: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { ...JSON_RPC, authorization: `Bearer ${token}`, ...headers },
    body: typeof message === 'string' ? message : JSON.stringify(message),
  });
}

export function toolCall(id: string | number, name: string, args: object = {}): object {
  return { jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: args } };
}
