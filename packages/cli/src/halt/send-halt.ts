import { decodeJwt, decodeProtectedHeader } from 'jose';
import { broadcastSubject, Halt, HaltReply, ProblemBody, typOf } from '@sever/protocol';
import type { CliIo } from '../cli-io';
import { usageError } from '../usage-error';

const TIMEOUT_MS = 5_000;

/** What one sidecar said. */
export interface HaltDelivery {
  readonly via: string;
  readonly accepted: boolean;
  /** `enforced`, `known`, a problem's code, or `unreachable`. */
  readonly said: string;
  readonly detail?: string;
}

/** What a file of `sever halt sign` holds. @throws CommanderError when it is something else */
export function haltIn(text: string, file: string): { jws: string; halt: Halt } {
  const jws = text.trim();
  try {
    if (decodeProtectedHeader(jws).typ !== typOf('halt')) throw new Error('another type');
    return { jws, halt: Halt.parse(decodeJwt(jws)) };
  } catch {
    throw usageError(`${file} holds no halt; make one with: sever halt sign`);
  }
}

/** Brings a halt to one sidecar. Never throws: the others must get theirs. */
export async function postHalt(
  jws: string,
  via: string,
  { fetch }: Pick<CliIo, 'fetch'>,
): Promise<HaltDelivery> {
  try {
    const response = await fetch(`${via.replace(/\/+$/, '')}/halt`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/jose' },
      body: jws,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const body: unknown = await response.json().catch(() => null);
    const taken = HaltReply.safeParse(body);
    if (response.ok && taken.success) {
      const { state, kept } = taken.data;
      const detail = 'it could not write the order down: a restart forgets it';
      return { via, accepted: true, said: state, ...(!kept && { detail }) };
    }
    const problem = ProblemBody.safeParse(body);
    return problem.success
      ? { via, accepted: false, said: problem.data.code, detail: problem.data.detail }
      : { via, accepted: false, said: `http_${response.status}`, detail: 'not a sidecar of Sever' };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return { via, accepted: false, said: 'unreachable', detail: cause?.code ?? String(error) };
  }
}

/** @throws CommanderError where this program has no way to the broker; whatever the connection throws */
export async function publishHalt(
  { jws, halt }: { jws: string; halt: Halt },
  { url, credsFile }: { url: string; credsFile: string },
  { publish }: Pick<CliIo, 'publish'>,
): Promise<void> {
  if (publish === undefined)
    throw usageError('--nats takes the sever command of the repository; or use --via');
  const subject = broadcastSubject('emergency', halt.tenant);
  await publish({ url, credsFile, subject, message: jws });
}
