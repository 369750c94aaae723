import type { Lineage } from '@sever/protocol';

/** What an enforcement point reads in a token. */
export function claimsOf(token: string): { lin: Lineage; exp: number } {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
  return JSON.parse(payload) as { lin: Lineage; exp: number };
}
