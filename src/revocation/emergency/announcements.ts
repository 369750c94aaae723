import { Inject, Injectable } from '@nestjs/common';
import {
  allBroadcasts,
  broadcastSubject,
  Emergency,
  MAX_MESSAGE_BYTES,
  typOf,
} from '@sever/protocol';
import { compactVerify, importJWK, type JWK } from 'jose';
import type { Logger } from 'pino';
import { Broker, type BrokerMessage } from '../../broker/broker';
import { LOG } from '../../config/config.module';
import { Sealer } from '../../signing/sealer';
import { SigningKeys } from '../../signing/signing-keys';
import { EmergencyEvents } from '../../stream/emergency-events';
import {
  StoredEmergency,
  storedForm,
  type EmergencyOrder,
  type OpenEmergency,
} from './emergency-order';

const TYP = typOf('emergency');

/** Emergencies on their way out and in: signed for enforcement points, with the order sealed inside for other replicas. */
@Injectable()
export class Announcements {
  constructor(
    private readonly broker: Broker,
    private readonly keys: SigningKeys,
    private readonly sealer: Sealer,
    private readonly events: EmergencyEvents,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** Tells everybody; again, if it was told before, which changes nothing. @returns whether the broker was there */
  async tell(emergency: OpenEmergency): Promise<boolean> {
    const { tenant, order, notAfter } = emergency;
    if (emergency.jws === undefined) {
      emergency.jws = await this.sign(emergency);
      this.events.told.next({ tenant, killId: order.id, jws: emergency.jws, notAfter });
    }
    return this.broker.publish(broadcastSubject('emergency', tenant), emergency.jws);
  }

  /** @param heard what another replica has announced, verified, with its order */
  listen(heard: (emergency: EmergencyOrder, jws: string) => void): { unsubscribe(): void } {
    return this.broker.subscribe(allBroadcasts('emergency'), async (message) => {
      const verified = await this.verify(message);
      if (verified === null) return;
      const { emergency, jws } = verified;
      const { tenant, kill_id: killId, not_after: notAfter } = emergency;
      this.events.told.next({ tenant, killId, jws, notAfter });
      const order = this.open(emergency);
      if (order !== null) heard(order, jws);
    });
  }

  private async sign(emergency: EmergencyOrder): Promise<string> {
    const { tenant, order, subjects, issuedAt, notAfter } = emergency;
    const sealed = this.sealer.seal(Buffer.from(JSON.stringify(storedForm(emergency))), {
      tenant,
      table: 'emergency',
      id: order.id,
    });
    const message: Emergency = {
      type: 'emergency',
      v: 1,
      tenant,
      kill_id: order.id,
      subjects: [...subjects],
      issued_at: issuedAt,
      not_after: notAfter,
      order: sealed.toString('base64url'),
    };
    return this.keys.sign(tenant, 'stream', TYP, JSON.stringify(message));
  }

  /** `null` for whatever is not an emergency of the tenant on whose subject it came; halts travel there too. */
  private async verify({
    subject,
    data,
  }: BrokerMessage): Promise<{ emergency: Emergency; jws: string } | null> {
    const tenant = subject.split('.').at(-1) ?? '';
    if (data.length > MAX_MESSAGE_BYTES) return null;
    const jws = Buffer.from(data).toString('latin1');
    try {
      const keys = await this.keys.publicKeys(tenant, 'stream');
      const { payload, protectedHeader } = await compactVerify(
        jws,
        async ({ kid }) => importJWK(keys.find((key) => key.kid === kid) as JWK, 'EdDSA'),
        { algorithms: ['EdDSA'] },
      );
      if (protectedHeader.typ !== TYP) return null;
      const emergency = Emergency.parse(JSON.parse(Buffer.from(payload).toString()));
      return emergency.tenant === tenant ? { emergency, jws } : null;
    } catch {
      return null;
    }
  }

  /** What is sealed is what was signed for: the same order, of the same tenant, for the same subjects. */
  private open({ tenant, kill_id: killId, subjects, order }: Emergency): EmergencyOrder | null {
    if (order === undefined) return null;
    try {
      const place = { tenant, table: 'emergency', id: killId };
      const opened = this.sealer.open(Buffer.from(order, 'base64url'), place);
      const found = StoredEmergency.parse(JSON.parse(opened.toString())) as EmergencyOrder;
      const same =
        found.tenant === tenant &&
        found.order.id === killId &&
        found.subjects.join() === subjects.join();
      return same ? found : null;
    } catch (error) {
      this.log.error(
        { err: error, kill_id: killId },
        'an emergency came with an order that does not open',
      );
      return null;
    }
  }
}
