import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { newId } from '@sever/protocol';
import pino from 'pino';
import { HaltKeyStore } from '../../../src/access/halt-key.store';
import { Broker } from '../../../src/broker/broker';
import { UserRevocations } from '../../../src/broker/user-revocations';
import { Failpoints } from '../../../src/config/failpoints';
import { Continuity } from '../../../src/database/continuity';
import { connectDataSources } from '../../../src/database/data-source';
import { HighWater } from '../../../src/database/high-water';
import { UnitOfWork, type DataSources } from '../../../src/database/unit-of-work';
import { BootActivity } from '../../../src/enforcement/boot-activity';
import { Containment } from '../../../src/enforcement/containment';
import { BrokerUserStore } from '../../../src/enforcement/broker-user.store';
import { EndUsers } from '../../../src/enforcement/end-users';
import { EnforcementPointStore } from '../../../src/enforcement/enforcement-point.store';
import { Enrol } from '../../../src/enforcement/enrol';
import { LeaseSigner } from '../../../src/enforcement/lease-signer';
import { LeaseStore } from '../../../src/enforcement/lease.store';
import { Leases } from '../../../src/enforcement/leases';
import { ReceiptStore } from '../../../src/enforcement/receipt.store';
import { Receipts } from '../../../src/enforcement/receipts';
import { RetireSilentBoots } from '../../../src/enforcement/retire';
import { RosterStore } from '../../../src/enforcement/roster.store';
import { Issuer } from '../../../src/signing/issuer';
import { Sealer } from '../../../src/signing/sealer';
import { SigningKeys } from '../../../src/signing/signing-keys';
import { BootStore } from '../../../src/stream/boot.store';
import { EnforcementEvents } from '../../../src/stream/enforcement-events';
import { Evidence } from '../../../src/stream/evidence';
import { EvidenceStore } from '../../../src/stream/evidence.store';
import { EpochStore } from '../../../src/stream/epoch.store';
import { Epochs } from '../../../src/stream/epochs';
import { EpSignatures } from '../../../src/stream/ep-signatures';
import { PulseSource } from '../../../src/stream/pulse';
import { Ranges } from '../../../src/stream/ranges';
import { Relay } from '../../../src/stream/relay';
import { Replica, type ReplicaClock } from '../../../src/stream/replica';
import { Sightings } from '../../../src/stream/sightings';
import { SignedEntries } from '../../../src/stream/signed-entries';
import { SnapshotBuilder } from '../../../src/stream/snapshot-builder';
import { SnapshotStore } from '../../../src/stream/snapshot.store';
import { StandingEmergencies } from '../../../src/stream/standing-emergencies';
import { Snapshots } from '../../../src/stream/snapshots';
import { StreamStore } from '../../../src/stream/stream.store';
import { Turn } from '../../../src/stream/turn';
import type { TestBroker } from '../../support/broker';
import { createRunFolder } from '../../support/run-folder';

const MASTER_KEY = randomBytes(32);

export interface BrokerSideOptions {
  databaseUrl: string;
  broker: TestBroker;
  /** Added to the process's monotonic clock: lets a test pass time. */
  clock?: ReplicaClock;
  failpoints?: string;
  /** Where it notes what it has published; by default a folder of its own. */
  dataDir?: string;
  /** False: it does not notice that its database has gone back. */
  continuity?: boolean;
}

interface Started {
  onModuleInit?(): unknown;
  onApplicationBootstrap?(): unknown;
  beforeApplicationShutdown?(): unknown;
}

/** The half of one control plane that speaks to the broker, put together as its modules do it. */
export class BrokerSide {
  private readonly parts: Started[];

  private constructor(
    readonly sources: DataSources,
    readonly broker: Broker,
    readonly work: UnitOfWork,
    readonly keys: SigningKeys,
    readonly events: EnforcementEvents,
    readonly replica: Replica,
    readonly relay: Relay,
    readonly boots: BootStore,
    readonly enrol: Enrol,
    readonly containment: Containment,
    readonly retire: RetireSilentBoots,
    readonly leaseReads: LeaseStore,
    readonly epochs: EpochStore,
    readonly continuity: Continuity,
    private readonly highWater: HighWater,
    parts: Started[],
  ) {
    this.parts = [relay, retire, ...parts];
  }

  static async start(options: BrokerSideOptions): Promise<BrokerSide> {
    const log = pino({ level: process.env.SEVER_TEST_LOG ?? 'silent' });
    const { databaseUrl } = options;
    const highWater = HighWater.open(
      options.dataDir ?? createRunFolder('test-side'),
      newId('boot'),
      log,
    );
    const enabled = options.continuity ?? true;
    const continuity = new Continuity({ databaseUrl, highWater, log, enabled });
    await continuity.check();
    const sources = await connectDataSources(databaseUrl, [], continuity);
    const server = {
      url: options.broker.url,
      credsFile: options.broker.credsFile,
      accountSeed: readFileSync(options.broker.accountSeedFile, 'utf8'),
    };
    const broker = await Broker.connect(server, log);
    const work = new UnitOfWork(sources);
    const sealer = new Sealer(MASTER_KEY);
    const keys = new SigningKeys(work, sealer);
    const issuer = new Issuer();
    issuer.settle('http://sever.test');
    const replica = new Replica(options.clock);
    const sightings = new Sightings(replica);
    const events = new EnforcementEvents();
    const store = new StreamStore(work);
    const signed = new SignedEntries(keys);
    const signatures = new EpSignatures(work);
    const turn = new Turn(broker, replica);
    const boots = new BootStore(work);
    const failpoints = new Failpoints(options.failpoints ?? '');
    const relay = new Relay({
      ...{ broker, signed, failpoints, replica, store, sightings, continuity, databaseUrl, log },
    });
    const epochs = new EpochStore(work);
    const activity = new BootActivity(work, log);
    const builder = new SnapshotBuilder(new SnapshotStore(work, new StandingEmergencies()));
    const points = new EnforcementPointStore(work);
    const endUsers = new EndUsers({
      ...{ store: new BrokerUserStore(work), revocations: new UserRevocations(server) },
      ...{ broker, replica, failpoints, log },
    });
    const signer = new LeaseSigner(sealer);
    const leases = new LeaseStore(work);
    const receipts = new ReceiptStore(work);
    const side = new BrokerSide(
      ...([sources, broker, work, keys, events, replica, relay, boots] as const),
      new Enrol({
        store: points,
        broker,
        keys,
        sealer,
        issuer,
        endUsers,
        haltKeys: new HaltKeyStore(work),
      }),
      new Containment(
        new RosterStore({ read: (sql, parameters) => work.querySystem(sql, parameters) }),
        sightings,
        events,
        replica,
        new Epochs(epochs, sightings, replica, log),
      ),
      new RetireSilentBoots({ work, boots, events, replica, log }),
      leases,
      epochs,
      continuity,
      highWater,
      [
        turn,
        new Evidence({
          ...{ broker, signatures, keys, continuity, relay, events, turn, log },
          store: new EvidenceStore(work),
        }),
        new PulseSource({ broker, store, keys, sightings, replica, log }),
        new Ranges(broker, store, signed, turn),
        new Snapshots({ broker, signatures, boots, builder, keys, events, turn, replica, log }),
        new Leases({ broker, store: leases, signer, activity, events, turn, log }),
        new Receipts({
          broker,
          store: receipts,
          boots,
          signatures,
          activity,
          events,
          replica,
          log,
        }),
        activity,
        endUsers,
      ],
    );
    for (const part of side.parts) await part.onModuleInit?.();
    for (const part of side.parts) await part.onApplicationBootstrap?.();
    return side;
  }

  async stop(): Promise<void> {
    for (const part of this.parts) await part.beforeApplicationShutdown?.();
    await this.broker.close();
    await Promise.all([this.sources.app.destroy(), this.sources.system.destroy()]);
    await this.highWater.close();
  }
}
