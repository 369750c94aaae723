import type { EnrolReply, Serves } from '@sever/protocol';
import type { Timers } from './clock';
import { EnrolmentRefusedError, type ControlPlane } from './enrol';
import type { Intake } from './intake';
import type { KeyDirectory } from './key-directory';
import type { KeyRing } from './key-ring';
import type { Transport } from './transport';
import type { Logger } from './types';

/** An enforcement point cut off for longer than this asks where the broker is now. */
const LOST_MS = 2_000;
const LOST_MAX_MS = 15_000;

export interface AccessKeeperOptions {
  readonly controlPlane: ControlPlane;
  readonly keys: KeyDirectory;
  readonly self: Parameters<ControlPlane['enrol']>[1];
  readonly enrolled: EnrolReply;
  readonly transport: Transport;
  readonly intake: Intake;
  readonly tokenKeys: KeyRing;
  readonly streamKeys: KeyRing;
  readonly haltKeys: KeyRing;
  readonly timers: Timers;
  readonly logger: Logger;
}

/** Asks the control plane for new addresses and credentials while the broker, or the one road there is, is not reached. */
export class AccessKeeper {
  private accessKey: string;
  private cancel: (() => void) | null = null;
  private waitMs = LOST_MS;
  private stopped = false;

  constructor(private readonly options: AccessKeeperOptions) {
    this.accessKey = options.enrolled.access_key;
  }

  lost(): void {
    if (this.stopped || this.cancel !== null) return;
    this.cancel = this.options.timers.after(this.waitMs, () => void this.refresh());
  }

  found(): void {
    this.cancel?.();
    this.cancel = null;
    this.waitMs = LOST_MS;
  }

  stop(): void {
    this.stopped = true;
    this.found();
  }

  /** Tells the control plane what this enforcement point stands before. */
  async serves(serves: Serves): Promise<void> {
    await this.options.controlPlane.serves(this.accessKey, serves);
  }

  private async refresh(): Promise<void> {
    const { logger, transport, tokenKeys, streamKeys, haltKeys } = this.options;
    this.waitMs = Math.min(LOST_MAX_MS, this.waitMs * 2);
    // Armed before asking: `found()` during the question ends the search.
    this.cancel = this.options.timers.after(this.waitMs, () => void this.refresh());
    try {
      const now = await this.current();
      await tokenKeys.pin(now.token_keys);
      await streamKeys.pin(now.stream_keys);
      await haltKeys.pin(now.halt_keys);
      if (!this.stopped) await transport.useAccess({ ...now.nats, accessKey: this.accessKey });
    } catch (error) {
      logger.warn({ error: String(error) }, 'cut off from the broker and the control plane');
    }
  }

  private async current(): Promise<
    Pick<EnrolReply, 'nats' | 'token_keys' | 'stream_keys' | 'halt_keys'>
  > {
    const { controlPlane, keys, self, intake, enrolled } = this.options;
    try {
      return await controlPlane.self(this.accessKey);
    } catch (error) {
      if (!(error instanceof EnrolmentRefusedError) || error.status !== 401) throw error;
    }
    // The access key is gone, with a restored database perhaps; the enrolment key makes a new one.
    const again = await controlPlane.enrol(keys, self, 0);
    if (again.id !== enrolled.id || again.tenant !== enrolled.tenant)
      throw new Error(
        'the control plane knows this enforcement point under another id; restart it',
      );
    this.accessKey = again.access_key;
    intake.useLeaseKey(Buffer.from(again.lease_key, 'base64url'));
    return again;
  }
}
