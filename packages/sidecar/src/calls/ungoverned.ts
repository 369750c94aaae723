import type { SeenCall } from '@sever/enforcement';
import type { SidecarState } from '@sever/protocol';

type Listed = NonNullable<SidecarState['ungoverned']>[number];

interface Counted {
  readonly upstream: string;
  readonly caller: string;
  readonly code: string;
  calls: number;
  readonly firstAt: number;
  lastAt: number;
}

/** As many are listed; whoever has not called for longest makes room. */
const LISTED = 1_000;
const MAX_PROGRAM = 128;

/** Who would be refused if what is only observed were enforced: what is left to do before it can be. */
export class Ungoverned {
  private readonly seen = new Map<string, Counted>();

  note(call: SeenCall): void {
    if (call.decision !== 'would_deny') return;
    const { upstream = '', code = '', startedAt } = call;
    const caller = nameOf(call);
    const key = JSON.stringify([upstream, caller, code]);
    const known = this.seen.get(key);
    this.seen.delete(key);
    this.seen.set(key, {
      ...{ upstream, caller, code },
      calls: (known?.calls ?? 0) + 1,
      firstAt: Math.min(known?.firstAt ?? startedAt, startedAt),
      lastAt: Math.max(known?.lastAt ?? startedAt, startedAt),
    });
    if (this.seen.size > LISTED) this.seen.delete(this.seen.keys().next().value ?? '');
  }

  /** Those that called last come first. */
  list(): Listed[] {
    return [...this.seen.values()].reverse().map(({ upstream, caller, code, calls, ...at }) => ({
      ...{ upstream, caller, code, calls },
      first_at: new Date(at.firstAt).toISOString(),
      last_at: new Date(at.lastAt).toISOString(),
    }));
  }
}

/** Of a caller that is not known there is only where it calls from and what it says it is. */
function nameOf({ caller, remoteAddress, userAgent }: SeenCall): string {
  if (caller.agentId !== '') return caller.agentId;
  const parts = [remoteAddress, userAgent?.slice(0, MAX_PROGRAM)];
  return parts.filter((part) => part !== undefined).join(' ') || 'unknown';
}
