import {
  NO_TOKEN,
  recordCall,
  RefusedError,
  type CallContext,
  type EnforcementPoint,
} from '@sever/enforcement';
import {
  boundaryName,
  calledBy,
  entryOf,
  listOf,
  ProblemError,
  scopesForTemplate,
  type Called,
  type Effect,
  type ListEntry,
} from '@sever/protocol';
import { RunningRequest, type AdmittedCall } from './running-request';

export type Point = Pick<EnforcementPoint, 'admit' | 'check' | 'record' | 'now'>;
type Params = Record<string, unknown> | undefined;

export interface DeciderOptions {
  readonly point: Point;
  /** The upstream's name in scopes, records and orders. */
  readonly name: string;
  readonly effects?: Readonly<Record<string, Effect>> | undefined;
}

/** What requests of one MCP server take, by the rules that a sidecar before it would go by. */
export class Decider {
  constructor(private readonly options: DeciderOptions) {}

  /** @throws ProblemError `bad_request` */
  contexts(method: string, params: Params): CallContext[] {
    const { called } = calledBy(method, params);
    const upstream = this.options.name;
    return called.length === 0 ? [{ upstream }] : called.map((one) => this.contextOf(one));
  }

  /** @throws RefusedError; ProblemError `bad_request` */
  async admit(token: string | undefined, method: string, params: Params): Promise<RunningRequest> {
    if (token === undefined) throw new RefusedError(NO_TOKEN);
    const { point } = this.options;
    const startedAt = point.now();
    const admitted: AdmittedCall[] = [];
    for (const context of this.contexts(method, params)) {
      const admission = await point.admit(token, context);
      if (admission.decision === 'deny') {
        for (const { admission: earlier } of admitted) earlier.call.finish();
        recordCall(point, { decision: admission, context, startedAt, outcome: 'refused' });
        throw new RefusedError(admission);
      }
      admitted.push({ admission, context });
    }
    return new RunningRequest({ point, token, method, startedAt, admitted });
  }

  /** The same without admitting it. @throws RefusedError; ProblemError `bad_request` */
  async check(token: string | undefined, method?: string, params?: Params): Promise<string> {
    if (token === undefined) throw new RefusedError(NO_TOKEN);
    const { point, name } = this.options;
    const contexts = method === undefined ? [{ upstream: name }] : this.contexts(method, params);
    let agentId = '';
    for (const context of contexts) {
      const decision = await point.check(token, context);
      if (decision.decision === 'deny') throw new RefusedError(decision);
      agentId = decision.caller.agentId;
    }
    return agentId;
  }

  /** A list with those entries alone that its reader may call. */
  async filtered(
    { method, token, caller }: RunningRequest,
    result: Record<string, unknown>,
  ): Promise<Record<string, unknown>> {
    const key = listOf(method);
    const listed = key === undefined ? undefined : result[key];
    if (key === undefined || !Array.isArray(listed)) return result;
    const shown: unknown[] = [];
    for (const one of listed as unknown[]) {
      const entry = entryOf(key, one);
      if (entry !== undefined && (await this.shows(token, caller.scopes, entry))) shown.push(one);
    }
    return { ...result, [key]: shown };
  }

  private async shows(token: string, held: readonly string[], entry: ListEntry): Promise<boolean> {
    const { point, name } = this.options;
    const may = async (called: Called, scope?: string): Promise<boolean> => {
      const context = { ...this.contextOf(called), ...(scope !== undefined && { scope }) };
      return (await point.check(token, context)).decision === 'allow';
    };
    // Sessions are their agent's, and so are the tasks in them.
    if ('taskId' in entry) return true;
    if ('called' in entry) return await may(entry.called);
    for (const scope of scopesForTemplate(held, name, entry.template))
      if (await may({ kind: 'resource', name: entry.template }, scope)) return true;
    return false;
  }

  private contextOf(called: Called): CallContext {
    const { name: upstream, effects = {} } = this.options;
    const name = boundaryName(called);
    const isRead = called.kind === 'resource' || called.kind === 'prompt';
    const written = Object.hasOwn(effects, name) ? effects[name] : undefined;
    return {
      tool: `${upstream}/${name}`,
      upstream,
      effect: written ?? (isRead ? 'read' : 'write'),
    };
  }
}

/** To whom it does not belong it does not exist. */
export function unknownSession(): ProblemError {
  return new ProblemError('not_found', 'This session is unknown here; initialize a new one');
}
