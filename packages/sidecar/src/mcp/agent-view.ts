import { scopesForTemplate, type Called, type ListEntry } from '@sever/protocol';
import type { Admitted } from '../relay/exchange';
import type { Enforcer } from '../enforcer';
import { contextOf } from './called';
import type { Effects } from './effects';
import type { Holdings } from './holdings';

export interface AgentViewParts {
  readonly upstream: string;
  readonly enforcer: Pick<Enforcer, 'check'>;
  readonly effects: Effects;
  readonly holdings: Holdings;
}

/** What one agent may see of an upstream: what it may call at this moment, and the tasks that are its own. */
export class AgentView {
  constructor(
    private readonly parts: AgentViewParts,
    private readonly token: string,
    private readonly admitted: Admitted,
  ) {}

  async shows(entry: ListEntry): Promise<boolean> {
    if ('taskId' in entry) {
      const { holdings } = this.parts;
      return holdings.task(this.admitted.caller, entry.taskId) !== undefined;
    }
    return 'template' in entry
      ? await this.mayExpand(entry.template)
      : await this.may(entry.called);
  }

  private async may(called: Called, scope?: string): Promise<boolean> {
    const { upstream, effects, enforcer } = this.parts;
    const context = contextOf(upstream, called, effects.terms(called));
    const asked = { ...context, ...(scope && { scope }), look: true } as const;
    const decision = await enforcer.check(this.token, asked);
    return decision.decision === 'allow';
  }

  /** A template is shown to whoever may read anything that it can become. */
  private async mayExpand(template: string): Promise<boolean> {
    const called: Called = { kind: 'resource', name: template };
    if (this.parts.effects.terms(called).policy === 'observe') return await this.may(called);
    const { caller } = this.admitted;
    for (const scope of scopesForTemplate(caller.scopes, this.parts.upstream, template))
      if (await this.may(called, scope)) return true;
    return false;
  }
}
