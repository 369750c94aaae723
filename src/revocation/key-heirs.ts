import { Inject, Injectable } from '@nestjs/common';
import { newId } from '@sever/protocol';
import type { Logger } from 'pino';
import { LOG } from '../config/config.module';
import { KillPool } from '../database/kill-pool';
import { SigningKeys, type KeyPurpose } from '../signing/signing-keys';
import { Relay } from '../stream/relay';
import type { StoredEntry } from '../stream/stream.store';

/**
 * Sees to it that a signing key can be killed at any moment: the one that takes its place has been announced before, under
 * the signature of the one that dies. Tenants are made with such an heir; each kill of a key uses one up.
 */
@Injectable()
export class KeyHeirs {
  constructor(
    private readonly pool: KillPool,
    private readonly keys: SigningKeys,
    private readonly relay: Relay,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** Announces an heir of this key's purpose if there is none. */
  async ensureFor(tenant: string, kid: string): Promise<void> {
    const [row] = await this.pool.read<{ purpose: KeyPurpose }>(
      `SELECT k.purpose FROM signing_key k WHERE k.tenant = $1 AND k.kid = $2 AND NOT EXISTS (
         SELECT FROM signing_key n WHERE n.tenant = $1 AND n.purpose = k.purpose AND n.state = 'next' AND n.kid <> k.kid)`,
      [tenant, kid],
    );
    if (row !== undefined) await this.announce(tenant, row.purpose);
  }

  /** After a kill: nobody waits for it. */
  replenish(tenant: string, kid: string): void {
    this.ensureFor(tenant, kid).catch((error: unknown) =>
      this.log.warn({ err: error }, 'could not announce the next signing key'),
    );
  }

  private async announce(tenant: string, purpose: KeyPurpose): Promise<void> {
    const { sealed, ...made } = await this.keys.make(tenant);
    const [row] = await this.pool.query<{
      answer: { present: true } | { epoch: number; entries: StoredEntry[] };
    }>(`SELECT sever_announce_key($1, $2) AS answer`, [
      tenant,
      JSON.stringify({
        ...made,
        purpose,
        sealed: sealed.toString('base64'),
        actor: { id: 'control-plane', name: 'control plane', kind: 'system' },
        audit_id: newId('audit'),
      }),
    ]);
    // Signed and on its way before anything can take its signer's place: publishing begins in this very step.
    if (row && 'entries' in row.answer)
      this.relay.committed(tenant, row.answer.epoch, row.answer.entries);
  }
}
