import type { KillRequest } from '@sever/protocol';
import { EXIT } from '../exit-code';
import { planReport } from '../output/plan-report';
import { shellWords } from '../output/shell-words';
import type { Session } from '../session';
import { usageError } from '../usage-error';
import { carryOut } from './carry-out';
import { orderWords, requestOf, type OrderOptions } from './order-options';
import { refuseTypedToken, subjectsOf } from './target-options';

/** `sever kill` and `sever suspend`, or what they would do. */
export async function giveOrder(
  session: Session,
  action: 'kill' | 'suspend',
  targets: readonly string[],
  options: OrderOptions,
): Promise<number> {
  refuseTypedToken(options);
  const token = options.token === undefined ? undefined : await session.io.readInput();
  const request = requestOf(action, subjectsOf(targets, options, token), options);
  if (options.dryRun) return preview(session, action, request, { targets, options });
  const idempotencyKey = options.idempotencyKey ?? session.io.newIdempotencyKey();
  return carryOut(session, {
    what: action === 'kill' ? 'kill' : 'suspension',
    waitMs: options.wait,
    idempotencyKey,
    send: (how) => session.client.kill(request, { ...how, idempotencyKey }),
  });
}

async function preview(
  session: Session,
  action: 'kill' | 'suspend',
  request: KillRequest,
  { targets, options }: { targets: readonly string[]; options: OrderOptions },
): Promise<number> {
  if (options.idempotencyKey !== undefined)
    throw usageError('--dry-run orders nothing; --idempotency-key goes with the order itself');
  const plan = await session.client.previewKill(request);
  const words = orderWords(action, targets, options, plan.plan_hash);
  const command = shellWords(['sever', ...session.placeWords, ...words]);
  session.print({ ...plan, command }, () =>
    planReport(action, plan, { command, maxAgents: options.maxAgents }),
  );
  return EXIT.contained;
}
