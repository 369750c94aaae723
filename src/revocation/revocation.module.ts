import { Global, Module } from '@nestjs/common';
import { Cascades } from './cascades';
import { CommitOrders } from './commit-orders';
import { CompleteSubject } from './complete';
import { CompleteController } from './complete.controller';
import { KillSubjects } from './kill';
import { KillEvents } from './kill-events';
import { KillRecords } from './kill-records';
import { KillsController } from './kills.controller';
import { Publication } from './publication';
import { RevocationStore } from './revocation.store';
import { RevokeEnforcementPointController } from './revoke-enforcement-point.controller';

@Global()
@Module({
  controllers: [KillsController, CompleteController, RevokeEnforcementPointController],
  providers: [
    Cascades,
    CommitOrders,
    CompleteSubject,
    KillEvents,
    KillRecords,
    KillSubjects,
    Publication,
    RevocationStore,
  ],
  exports: [KillEvents, KillRecords],
})
export class RevocationModule {}
