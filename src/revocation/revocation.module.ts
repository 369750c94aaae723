import { Global, Module } from '@nestjs/common';
import { Cascades } from './cascades';
import { CommitOrders } from './commit-orders';
import { CompleteSubject } from './complete';
import { CompleteController } from './complete.controller';
import { Announcements } from './emergency/announcements';
import { EmergencyBook } from './emergency/emergency-book';
import { EmergencyJournal } from './emergency/emergency-journal';
import { EmergencyRecords } from './emergency/emergency-records';
import { EmergencyReplay } from './emergency/emergency-replay';
import { EmergencyRoad } from './emergency/emergency-road';
import { EmergencyStore } from './emergency/emergency.store';
import { NameSubjects } from './emergency/name-subjects';
import { Prepared } from './emergency/prepared';
import { Halts } from './halts';
import { KillSubjects } from './kill';
import { KillEvents } from './kill-events';
import { KeyHeirs } from './key-heirs';
import { KillRecords } from './kill-records';
import { KillsController } from './kills.controller';
import { LiftSuspension } from './lift';
import { PlanStore } from './plan.store';
import { PreviewKill } from './preview';
import { Publication } from './publication';
import { ReinstateSubject } from './reinstate';
import { ReleaseOrders } from './release-orders';
import { ResolveSubjects } from './resolve-subjects';
import { RevocationStore } from './revocation.store';
import { RevokeEnforcementPointController } from './revoke-enforcement-point.controller';
import { SubjectStore } from './subject.store';
import { SuspensionExpiry } from './suspension-expiry';
import { UndoController } from './undo.controller';

@Global()
@Module({
  controllers: [
    KillsController,
    CompleteController,
    RevokeEnforcementPointController,
    UndoController,
  ],
  providers: [
    ...[Announcements, EmergencyBook, EmergencyJournal, EmergencyRecords, EmergencyReplay],
    ...[EmergencyRoad, EmergencyStore, NameSubjects, Prepared],
    Cascades,
    CommitOrders,
    CompleteSubject,
    Halts,
    KeyHeirs,
    KillEvents,
    KillRecords,
    KillSubjects,
    LiftSuspension,
    PlanStore,
    PreviewKill,
    Publication,
    ReinstateSubject,
    ReleaseOrders,
    ResolveSubjects,
    RevocationStore,
    SubjectStore,
    SuspensionExpiry,
  ],
  exports: [EmergencyBook, EmergencyJournal, KillEvents, KillRecords, RevocationStore],
})
export class RevocationModule {}
