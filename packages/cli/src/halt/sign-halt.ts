import { CompactSign } from 'jose';
import {
  Halt,
  isId,
  MAX_HALT_BYTES,
  MAX_HALT_MS,
  newId,
  parseSubject,
  typOf,
} from '@sever/protocol';
import { parseTarget } from '../parse-target';
import { usageError } from '../usage-error';
import type { HaltKey } from './key-file';

export interface HaltAsked {
  readonly tenant: string;
  readonly targets: readonly string[];
  readonly reason: string;
  readonly validMs: number;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

export interface SignedHalt {
  readonly halt: Halt;
  readonly jws: string;
}

/**
 * Signs a kill order that enforcement points take without a control plane.
 *
 * @throws CommanderError when the order cannot be carried out without one, or is malformed
 */
export async function signHalt(key: HaltKey, asked: HaltAsked): Promise<SignedHalt> {
  const { tenant, targets, reason, validMs, now } = asked;
  if (!isId('tenant', tenant)) throw usageError('--tenant must be a tenant id: ten_…');
  if (validMs <= 0 || validMs > MAX_HALT_MS) throw usageError('--valid must be 1ms to 366d');
  const halt = Halt.safeParse({
    ...{ type: 'halt', v: 1, tenant, kill_id: newId('kill'), reason: reason.trim() },
    subjects: [...new Set(targets.map((target) => subjectOn(tenant, target)))],
    ...{ issued_at: now, not_after: now + validMs },
  });
  if (!halt.success)
    throw usageError(
      'the order has not the form of a halt: --reason takes 1 to 1,024 characters, and there may be up to 1,000 targets',
    );
  const jws = await new CompactSign(Buffer.from(JSON.stringify(halt.data)))
    .setProtectedHeader({ alg: 'EdDSA', typ: typOf('halt'), kid: key.kid })
    .sign(key.privateKey);
  if (jws.length > MAX_HALT_BYTES)
    throw usageError(
      'too many targets for one halt; sign several, or halt what they have in common',
    );
  return { halt: halt.data, jws };
}

/** As tokens carry it: an enforcement point that is on its own can look nothing up. */
function subjectOn(tenant: string, target: string): string {
  const named = parseTarget(target);
  if (typeof named === 'string') throw usageError(named);
  const { kind, id } = named;
  if (kind === 'initiator' && !isId('initiator', id))
    throw usageError(
      `${target}: who that is only the control plane knows; name the human by ini_…, or halt the agents`,
    );
  if (kind === 'tenant' && id !== tenant)
    throw usageError(`${target}: a halt stops its own tenant only, ${tenant}`);
  if (parseSubject(`${kind}:${id}`) === null)
    throw usageError(`${target}: only the control plane can look up a ${kind}; name its agents`);
  return `${kind}:${id}`;
}
