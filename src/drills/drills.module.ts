import { Global, Module } from '@nestjs/common';
import { DrillEvents } from './drill-events';
import { DrillStore } from './drill.store';
import { DrillsController } from './drills.controller';
import { ScheduledDrills } from './scheduled-drills';

@Global()
@Module({
  controllers: [DrillsController],
  providers: [DrillEvents, DrillStore, ScheduledDrills],
  exports: [DrillEvents],
})
export class DrillsModule {}
