import { CheckReply, SidecarState } from '@sever/protocol';

/** Longer than any honest answer; an enforcement point decides on its own. */
const TIMEOUT_MS = 1_000;

/** What one `POST /check` said. `unreachable` is neither: nobody was admitted, and nothing is proven. */
export type Said =
  | { readonly decision: 'allow' }
  | { readonly decision: 'deny'; readonly code: string; readonly killId: string | null }
  | { readonly decision: 'unreachable'; readonly why: string };

/** Who stands behind an address, in its own words. */
export interface Identity {
  readonly id: string;
  readonly name: string;
}

export class Probe {
  private readonly base: string;

  constructor(
    readonly via: string,
    private readonly fetch: typeof globalThis.fetch,
  ) {
    this.base = via.replace(/\/+$/, '');
  }

  /** Never throws. */
  async check(token: string): Promise<Said> {
    try {
      const response = await this.fetch(`${this.base}/check`, {
        method: 'POST',
        redirect: 'manual',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const reply = CheckReply.safeParse(await response.json().catch(() => null));
      // Callers go by the status alone, so what contradicts its own body admits.
      if (response.ok) return { decision: 'allow' };
      if (reply.success && reply.data.decision === 'deny')
        return {
          decision: 'deny',
          code: reply.data.code,
          killId: reply.data.kill_id ?? null,
        };
      return { decision: 'unreachable', why: `HTTP ${response.status}, not an answer of /check` };
    } catch (error) {
      return { decision: 'unreachable', why: whyOf(error) };
    }
  }

  /** Null when nobody tells. */
  async identity(): Promise<Identity | null> {
    try {
      const response = await this.fetch(`${this.base}/state`, {
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const { id, name } = SidecarState.pick({ id: true, name: true }).parse(await response.json());
      return { id, name };
    } catch {
      return null;
    }
  }
}

function whyOf(error: unknown): string {
  const { cause, name, message } = error as Error & { cause?: { code?: unknown } };
  return typeof cause?.code === 'string' ? cause.code : `${name}: ${message}`;
}
