import { Global, Module } from '@nestjs/common';
import { Cascades } from './cascades';
import { CommitOrders } from './commit-orders';
import { CompleteSubject } from './complete';
import { CompleteController } from './complete.controller';
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
  exports: [KillEvents, KillRecords],
})
export class RevocationModule {}
