import type { CheckReply } from '@sever/protocol';

/** Asks a sidecar as an application would. */
export async function check(sidecar: string, token: string, tool?: string): Promise<CheckReply> {
  const response = await fetch(`${sidecar}/check`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token, ...(tool === undefined ? {} : { tool }) }),
  });
  return (await response.json()) as CheckReply;
}
