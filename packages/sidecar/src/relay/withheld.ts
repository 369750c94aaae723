import { TOKEN_TYP } from '@sever/protocol';
import { holdsToken } from '../http/request-target';
import type { Upstream } from '../sidecar-file';

const JWTS = /[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/g;

/**
 * What of the caller's credentials the upstream must not see; empty: all of them are passed on. Where the policy only
 * observes, callers go on to present what the upstream has always taken from them; a token of this control plane is none
 * of that.
 *
 * @param token empty: the caller has presented none, or several
 */
export function withheldFrom({ policy }: Pick<Upstream, 'policy'>, token: string): string {
  return policy === 'observe' && !holdsAgentToken(token) ? '' : token;
}

/** Does the text hold what must not reach the upstream? Agents' tokens never may. */
export function carries(text: string, withheld: string): boolean {
  return withheld === '' ? holdsAgentToken(text) : holdsToken(text, withheld);
}

/** By its form: whether it is valid does not matter to who must not see it. */
function holdsAgentToken(text: string): boolean {
  return (text.match(JWTS) ?? []).some((jwt) => {
    const [header, payload] = jwt.split('.').map(parsed);
    return header?.['typ'] === TOKEN_TYP && Array.isArray(payload?.['lin']);
  });
}

function parsed(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return undefined;
  }
}
