import type { DenialView } from '@sever/protocol';
import { standingCut } from './decide';
import type { CallContext } from './types';
import type { VerifiedToken } from './verified-token';

interface Watch {
  readonly verified: VerifiedToken;
  readonly context: CallContext;
  readonly tell: () => void;
}

/**
 * Who wants to know when a token's holder is killed, beside the calls in flight: what an agent has left running
 * elsewhere outlives the call that started it. Nothing here is counted in a receipt, and no receipt waits for it.
 */
export class KillWatches {
  private readonly bySubject = new Map<string, Set<Watch>>();

  /**
   * @param tell called at most once, in the turn in which the kill is enforced: it starts what is to be done, and returns
   * @returns ends the watch
   */
  add(verified: VerifiedToken, context: CallContext, tell: () => void): () => void {
    const watch: Watch = { verified, context, tell };
    for (const [subject] of verified.lineage)
      this.bySubject.set(subject, (this.bySubject.get(subject) ?? new Set<Watch>()).add(watch));
    return () => this.forget(watch);
  }

  /** Tells those under these subjects, or all, whom the view has killed; a suspension may be lifted, and is not told. */
  look(view: DenialView, subjects: readonly string[] | null): void {
    const found = new Set<Watch>();
    for (const subject of subjects ?? this.bySubject.keys())
      for (const watch of this.bySubject.get(subject) ?? []) found.add(watch);
    for (const watch of found) {
      const stopped = standingCut(watch.verified, watch.context, view);
      if (stopped?.code !== 'agent_revoked') continue;
      this.forget(watch);
      try {
        watch.tell();
      } catch {
        // Its failure must not keep the others, or the receipt, from what they are owed.
      }
    }
  }

  private forget(watch: Watch): void {
    for (const [subject] of watch.verified.lineage) {
      const watches = this.bySubject.get(subject);
      if (watches?.delete(watch) && watches.size === 0) this.bySubject.delete(subject);
    }
  }
}
