import { Global, Module, type DynamicModule, type Provider } from '@nestjs/common';
import type { Logger } from 'pino';
import { Broker } from '../broker/broker';
import { Failpoints } from '../config/failpoints';
import { Continuity } from '../database/continuity';
import { UnitOfWork } from '../database/unit-of-work';
import { SigningKeys } from '../signing/signing-keys';
import { BootStore } from './boot.store';
import { EmergencyEvents } from './emergency-events';
import { EnforcementEvents } from './enforcement-events';
import { EpSignatures } from './ep-signatures';
import { EpochStore } from './epoch.store';
import { Epochs } from './epochs';
import { EpochsController } from './epochs.controller';
import { Evidence } from './evidence';
import { EvidenceStore } from './evidence.store';
import { OpenEmergencies } from './open-emergencies';
import { PulseSource } from './pulse';
import { Ranges } from './ranges';
import { Relay } from './relay';
import { Replica } from './replica';
import { Sightings } from './sightings';
import { SignedEntries } from './signed-entries';
import { SnapshotBuilder } from './snapshot-builder';
import { SnapshotStore } from './snapshot.store';
import { Snapshots } from './snapshots';
import { StreamController } from './stream.controller';
import { StreamFeed } from './stream-feed';
import { StandingEmergencies } from './standing-emergencies';
import { StreamStore } from './stream.store';
import { Turn } from './turn';

@Global()
@Module({})
export class StreamModule {
  /** Needs `UnitOfWork`, `SigningKeys`, `Broker` and `Failpoints` from global modules. */
  static forDatabase(databaseUrl: string, log: Logger): DynamicModule {
    const providers: Provider[] = [
      StreamStore,
      BootStore,
      SnapshotStore,
      StandingEmergencies,
      EpochStore,
      EvidenceStore,
      EnforcementEvents,
      EmergencyEvents,
      { provide: Replica, useFactory: () => new Replica() },
      make(Sightings, [Replica], (replica: Replica) => new Sightings(replica)),
      make(SignedEntries, [SigningKeys], (keys: SigningKeys) => new SignedEntries(keys)),
      make(EpSignatures, [UnitOfWork], (work: UnitOfWork) => new EpSignatures(work)),
      make(SnapshotBuilder, [SnapshotStore], (store: SnapshotStore) => new SnapshotBuilder(store)),
      make(
        Turn,
        [Broker, Replica],
        (broker: Broker, replica: Replica) => new Turn(broker, replica),
      ),
      make(
        Relay,
        [Broker, SignedEntries, Failpoints, Replica, StreamStore, Sightings, Continuity],
        (
          broker: Broker,
          signed: SignedEntries,
          failpoints: Failpoints,
          replica: Replica,
          store: StreamStore,
          sightings: Sightings,
          continuity: Continuity,
        ) =>
          new Relay({
            ...{ broker, signed, failpoints, replica, store, sightings, continuity },
            ...{ databaseUrl, log },
          }),
      ),
      make(
        Epochs,
        [EpochStore, Sightings, Replica],
        (store: EpochStore, sightings: Sightings, replica: Replica) =>
          new Epochs(store, sightings, replica, log),
      ),
      make(
        Evidence,
        [
          ...[Broker, EpSignatures, SigningKeys, EvidenceStore, Continuity, Relay],
          ...[EnforcementEvents, Turn],
        ],
        (
          broker: Broker,
          signatures: EpSignatures,
          keys: SigningKeys,
          store: EvidenceStore,
          continuity: Continuity,
          relay: Relay,
          events: EnforcementEvents,
          turn: Turn,
        ) =>
          new Evidence({
            ...{ broker, signatures, keys, store, continuity, relay, events, turn, log },
          }),
      ),
      make(
        PulseSource,
        [Broker, StreamStore, SigningKeys, Sightings, Replica],
        (
          broker: Broker,
          store: StreamStore,
          keys: SigningKeys,
          sightings: Sightings,
          replica: Replica,
        ) => new PulseSource({ broker, store, keys, sightings, replica, log }),
      ),
      make(
        OpenEmergencies,
        [EmergencyEvents, Replica],
        (events: EmergencyEvents, replica: Replica) => new OpenEmergencies(events, replica),
      ),
      make(
        StreamFeed,
        [
          StreamStore,
          SignedEntries,
          Sightings,
          PulseSource,
          EmergencyEvents,
          OpenEmergencies,
          Replica,
        ],
        (
          store: StreamStore,
          signed: SignedEntries,
          sightings: Sightings,
          pulses: PulseSource,
          emergencies: EmergencyEvents,
          open: OpenEmergencies,
          replica: Replica,
        ) => new StreamFeed({ store, signed, sightings, pulses, emergencies, open, replica, log }),
      ),
      make(
        Ranges,
        [Broker, StreamStore, SignedEntries, Turn],
        (broker: Broker, store: StreamStore, signed: SignedEntries, turn: Turn) =>
          new Ranges(broker, store, signed, turn),
      ),
      make(
        Snapshots,
        [
          Broker,
          EpSignatures,
          BootStore,
          SnapshotBuilder,
          SigningKeys,
          EnforcementEvents,
          Turn,
          Replica,
        ],
        (
          broker: Broker,
          signatures: EpSignatures,
          boots: BootStore,
          builder: SnapshotBuilder,
          keys: SigningKeys,
          events: EnforcementEvents,
          turn: Turn,
          replica: Replica,
        ) =>
          new Snapshots({ broker, signatures, boots, builder, keys, events, turn, replica, log }),
      ),
    ];
    return {
      module: StreamModule,
      controllers: [StreamController, EpochsController],
      providers,
      exports: [
        ...[Relay, Replica, Sightings, Turn, EnforcementEvents, EmergencyEvents, EpSignatures],
        StandingEmergencies,
        ...[BootStore, EpochStore, Epochs, Evidence],
      ],
    };
  }
}

type Token = Extract<Provider, { useFactory: unknown }>['provide'];

function make<A extends unknown[], T>(
  provide: Token,
  inject: Token[],
  useFactory: (...ports: A) => T,
): Provider {
  return { provide, inject: inject as never[], useFactory: useFactory as (...p: unknown[]) => T };
}
