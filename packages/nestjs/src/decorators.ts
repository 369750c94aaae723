import {
  applyDecorators,
  createParamDecorator,
  SetMetadata,
  UseGuards,
  type ExecutionContext,
} from '@nestjs/common';
import type { Effect as CallEffect } from '@sever/protocol';
import { checkedScope, checkedTool, EFFECT, SCOPE, TOOL } from './context-of';
import { GuardedCall } from './guarded-call';
import { rawHttp } from './raw-http';
import { SeverGuard } from './sever.guard';

/**
 * Guards the route as a tool: whoever calls it needs the scope `tool:<tool>`, and a suspension of the tool refuses it.
 *
 * @param tool `<upstream>/<name>`, such as `billing/transfer`
 */
export function Tool(tool: string): ClassDecorator & MethodDecorator {
  return applyDecorators(SetMetadata(TOOL, checkedTool(tool)), UseGuards(SeverGuard));
}

/** Guards the route with this scope, in place of the one that its tool implies. */
export function Scope(scope: string): ClassDecorator & MethodDecorator {
  return applyDecorators(SetMetadata(SCOPE, checkedScope(scope)), UseGuards(SeverGuard));
}

/** Whether the route changes anything; by default it does, unless its scope is one of GET or HEAD. */
export function Effect(effect: CallEffect): ClassDecorator & MethodDecorator {
  return applyDecorators(SetMetadata(EFFECT, effect), UseGuards(SeverGuard));
}

/** The `Caller`: which agent calls, for whom, in which chain. */
export const SeverCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext) => callOf(context).caller,
);

/** The `AbortSignal` that tells the handler to stop: at a kill, and when the agent has gone. */
export const SeverSignal = createParamDecorator(
  (_: unknown, context: ExecutionContext) => callOf(context).signal,
);

function callOf(context: ExecutionContext): GuardedCall {
  const call = GuardedCall.of(rawHttp(context).request);
  if (call !== undefined) return call;
  throw new Error('No guard of Sever stands before this route: add @UseGuards(SeverGuard)');
}
