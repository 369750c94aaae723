import { Global, Module, type DynamicModule, type Provider } from '@nestjs/common';
import type { Logger } from 'pino';
import { Cursors } from '../access/cursors';
import { HaltKeyStore } from '../access/halt-key.store';
import { Broker } from '../broker/broker';
import { UserRevocations } from '../broker/user-revocations';
import { Failpoints } from '../config/failpoints';
import { UnitOfWork } from '../database/unit-of-work';
import { Issuer } from '../signing/issuer';
import { Sealer } from '../signing/sealer';
import { SigningKeys } from '../signing/signing-keys';
import { BootStore } from '../stream/boot.store';
import { EnforcementEvents } from '../stream/enforcement-events';
import { Epochs } from '../stream/epochs';
import { EpSignatures } from '../stream/ep-signatures';
import { Replica } from '../stream/replica';
import { Sightings } from '../stream/sightings';
import { Turn } from '../stream/turn';
import { BootActivity } from './boot-activity';
import { BrokerUserStore } from './broker-user.store';
import { Containment } from './containment';
import { EndUsers } from './end-users';
import { EnforcementPointStore } from './enforcement-point.store';
import { EnforcementPointsController } from './enforcement-points.controller';
import { Enrol } from './enrol';
import { LeaseSigner } from './lease-signer';
import { LeaseStore } from './lease.store';
import { Leases } from './leases';
import { ListEnforcementPoints } from './list-enforcement-points';
import { ReceiptStore } from './receipt.store';
import { Receipts } from './receipts';
import { RetireSilentBoots } from './retire';
import { RosterStore } from './roster.store';
import { SecondRoadController } from './second-road.controller';

@Global()
@Module({})
export class EnforcementModule {
  /** Needs the database, signing, broker, access and stream modules, all of them global. */
  static with(log: Logger): DynamicModule {
    const providers: Provider[] = [
      BrokerUserStore,
      EnforcementPointStore,
      LeaseStore,
      ReceiptStore,
      RosterStore,
      {
        provide: BootActivity,
        inject: [UnitOfWork],
        useFactory: (work: UnitOfWork) => new BootActivity(work, log),
      },
      {
        provide: LeaseSigner,
        inject: [Sealer],
        useFactory: (sealer: Sealer) => new LeaseSigner(sealer),
      },
      {
        provide: EndUsers,
        inject: [BrokerUserStore, UserRevocations, Broker, Replica, Failpoints],
        useFactory: (
          store: BrokerUserStore,
          revocations: UserRevocations,
          broker: Broker,
          replica: Replica,
          failpoints: Failpoints,
        ) => new EndUsers({ store, revocations, broker, replica, failpoints, log }),
      },
      {
        provide: Enrol,
        inject: [
          EnforcementPointStore,
          Broker,
          SigningKeys,
          Sealer,
          Issuer,
          EndUsers,
          HaltKeyStore,
        ],
        useFactory: (
          store: EnforcementPointStore,
          broker: Broker,
          keys: SigningKeys,
          sealer: Sealer,
          issuer: Issuer,
          endUsers: EndUsers,
          haltKeys: HaltKeyStore,
        ) => new Enrol({ store, broker, keys, sealer, issuer, endUsers, haltKeys }),
      },
      {
        provide: ListEnforcementPoints,
        inject: [EnforcementPointStore, Enrol, Cursors],
        useFactory: (store: EnforcementPointStore, enrol: Enrol, cursors: Cursors) =>
          new ListEnforcementPoints(store, enrol, cursors),
      },
      {
        provide: Leases,
        inject: [Broker, LeaseStore, LeaseSigner, BootActivity, EnforcementEvents, Turn],
        useFactory: (
          broker: Broker,
          store: LeaseStore,
          signer: LeaseSigner,
          activity: BootActivity,
          events: EnforcementEvents,
          turn: Turn,
        ) => new Leases({ broker, store, signer, activity, events, turn, log }),
      },
      {
        provide: Receipts,
        inject: [
          Broker,
          ReceiptStore,
          BootStore,
          EpSignatures,
          BootActivity,
          EnforcementEvents,
          Replica,
        ],
        useFactory: (
          broker: Broker,
          store: ReceiptStore,
          boots: BootStore,
          signatures: EpSignatures,
          activity: BootActivity,
          events: EnforcementEvents,
          replica: Replica,
        ) => new Receipts({ broker, store, boots, signatures, activity, events, replica, log }),
      },
      {
        provide: RetireSilentBoots,
        inject: [UnitOfWork, BootStore, EnforcementEvents, Replica],
        useFactory: (
          work: UnitOfWork,
          boots: BootStore,
          events: EnforcementEvents,
          replica: Replica,
        ) => new RetireSilentBoots({ work, boots, events, replica, log }),
      },
      {
        provide: Containment,
        inject: [RosterStore, Sightings, EnforcementEvents, Replica, Epochs],
        useFactory: (
          store: RosterStore,
          sightings: Sightings,
          events: EnforcementEvents,
          replica: Replica,
          epochs: Epochs,
        ) => new Containment(store, sightings, events, replica, epochs),
      },
    ];
    return {
      module: EnforcementModule,
      controllers: [EnforcementPointsController, SecondRoadController],
      providers,
      exports: [Containment, EndUsers, Enrol, EnforcementPointStore],
    };
  }
}
