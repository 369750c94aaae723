import { randomUUID } from 'node:crypto';
import {
  ENROLMENT_PROOF_TYP,
  EnforcementPointSelf,
  EnrolReply,
  ProblemBody,
  type EnrolmentProof,
  type EnrolRequest,
  type Serves,
} from '@sever/protocol';
import { systemClock, systemTimers, type Clock } from './clock';
import type { KeyDirectory } from './key-directory';
import { retry } from './retry';
import type { ConnectOptions, Logger } from './types';

const CALL_TIMEOUT_MS = 5_000;

/** The control plane refused, and asking again will not help. `message` says what to do. */
export class EnrolmentRefusedError extends Error {
  override readonly name = 'EnrolmentRefusedError';
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** The control plane's REST interface, as far as an enforcement point needs it. */
export class ControlPlane {
  constructor(
    private readonly options: Pick<ConnectOptions, 'url' | 'enrolmentKey'> & {
      readonly clock?: Clock;
      readonly logger: Logger;
    },
  ) {}

  /**
   * Enrols, or enrols again under the same key. Waits for a control plane that is not there yet.
   *
   * @param until monotonic moment at which to give up
   * @throws EnrolmentRefusedError
   */
  async enrol(
    keys: KeyDirectory,
    ep: Pick<EnrolRequest, 'name' | 'mode' | 'abort'>,
    until?: number,
  ): Promise<EnrolReply> {
    const { clock = systemClock, logger } = this.options;
    return await retry(() => this.enrolOnce(keys, ep, clock), {
      clock,
      timers: systemTimers,
      random: Math.random,
      firstMs: 200,
      maxMs: 5_000,
      until,
      isTransient: (error) => !(error instanceof EnrolmentRefusedError),
      onRetry: (error, waitMs) =>
        logger.warn({ error: String(error), waitMs }, 'control plane not reached; trying again'),
    });
  }

  /** Present addresses, credentials and keys. @throws EnrolmentRefusedError when the access key is no longer good */
  async self(accessKey: string): Promise<EnforcementPointSelf> {
    const body = await this.call('/v1/enforcement-points/self', accessKey);
    return EnforcementPointSelf.parse(body);
  }

  /** @throws EnrolmentRefusedError when the access key is no longer good */
  async serves(accessKey: string, serves: Serves): Promise<void> {
    await this.call('/v1/enforcement-points/self/serves', accessKey, serves, 'PUT');
  }

  private async enrolOnce(
    keys: KeyDirectory,
    ep: Pick<EnrolRequest, 'name' | 'mode' | 'abort'>,
    clock: Clock,
  ): Promise<EnrolReply> {
    const claims: EnrolmentProof = {
      name: ep.name,
      nats_public_key: keys.natsPublicKey,
      iat: Math.floor(clock.wall() / 1_000),
      jti: randomUUID(),
    };
    const request: EnrolRequest = {
      ...ep,
      public_key: keys.publicKey,
      nats_public_key: keys.natsPublicKey,
      proof: await keys.signer.sign(ENROLMENT_PROOF_TYP, claims),
    };
    return EnrolReply.parse(
      await this.call('/v1/enforcement-points', this.options.enrolmentKey, request),
    );
  }

  private async call(
    path: string,
    bearer: string,
    body?: object,
    method = body === undefined ? 'GET' : 'POST',
  ): Promise<unknown> {
    const response = await fetch(`${this.options.url.replace(/\/+$/, '')}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${bearer}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    const reply: unknown = await response.json().catch(() => null);
    if (response.ok) return reply;
    const problem = ProblemBody.safeParse(reply);
    const detail = problem.success ? problem.data.detail : `HTTP ${response.status}`;
    const code = problem.success ? problem.data.code : 'unknown';
    // Too many requests is the one 4xx that time heals.
    if (response.status >= 500 || response.status === 429) throw new Error(detail);
    throw new EnrolmentRefusedError(response.status, code, detail);
  }
}
